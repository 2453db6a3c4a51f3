"""The search: its schedule, its interruption, and what it leaves alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from stages import params, tune
from stages.base.files import read_json, read_yaml
from tests.project import ROOT, set_params

import keras_tuner  # isort: skip  # imports Keras, which keras_setup must do first


def make_project(folder: Path) -> None:
    """60 encoded training images, and params for a search of seven epochs."""
    (folder / "data/encoded/train").mkdir(parents=True)
    images = np.random.default_rng(0).random((60, 28, 28, 1), np.float32)
    np.save(folder / "data/encoded/train/images.npy", images)
    labels = np.eye(10, dtype=np.float32)[np.arange(60) % 10]
    np.save(folder / "data/encoded/train/labels.npy", labels)
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    units = {"min": 32, "max": 64, "step": 8}
    set_params(folder, {"tune.max_epochs": 2, "tune.factor": 2, "tune.units": units})


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """A project in which the search ran undisturbed; the optimizer's steps as each trial began."""
    folder, steps = tmp_path_factory.mktemp("searched"), []
    make_project(folder)
    fit = tune.Lenet.fit

    def recorded(self, hp, model, *args, **kwargs):
        steps.append(int(model.optimizer.iterations))
        return fit(self, hp, model, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(tune.Lenet, "fit", recorded)
        tune.main()
    return folder, steps


def interrupt_after(trials: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the search be broken off, as by Ctrl-C, when one more trial is about to train."""
    fit, count = tune.Lenet.fit, iter(range(trials))

    def interrupted(self, *args, **kwargs):
        if next(count, None) is None:
            raise KeyboardInterrupt
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(tune.Lenet, "fit", interrupted)


@pytest.mark.slow
@pytest.mark.long
def test_an_interrupted_search_goes_on_and_finds_the_same(searched, project, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt_after(3, patch)
        with pytest.raises(KeyboardInterrupt):
            tune.main()
    assert not Path(tune.METRICS).exists()
    capsys.readouterr()
    tune.main()
    assert "going on after 3 finished trials" in capsys.readouterr().out
    uninterrupted, _ = searched
    for path in (tune.TRIALS, tune.METRICS, tune.HYPERPARAMETERS):
        assert Path(path).read_bytes() == (uninterrupted / path).read_bytes()


@pytest.mark.long
def test_a_search_whose_files_were_left_half_written_begins_again(
    searched, project, monkeypatch, capsys
):
    with monkeypatch.context() as patch:
        interrupt_after(3, patch)
        with pytest.raises(KeyboardInterrupt):
            tune.main()
    (oracle,) = Path(".work/tune").rglob("oracle.json")
    oracle.write_text(oracle.read_text()[:-20])
    tune.main()
    assert "was left half-written; beginning again" in capsys.readouterr().out
    uninterrupted, _ = searched
    assert Path(tune.TRIALS).read_bytes() == (uninterrupted / tune.TRIALS).read_bytes()


@pytest.mark.long
def test_a_changed_param_starts_a_fresh_search(project, monkeypatch, capsys):
    set_params(project, {"tune.algorithm": "random", "tune.max_trials": 2, "tune.max_epochs": 1})
    with monkeypatch.context() as patch:
        interrupt_after(1, patch)
        with pytest.raises(KeyboardInterrupt):
            tune.main()
    set_params(project, {"tune.batch_size": 32})
    tune.main()
    assert "going on" not in capsys.readouterr().out
    assert len(pd.read_csv(tune.TRIALS)) == 2


def test_the_trials_follow_hyperbands_schedule(searched, tmp_path, monkeypatch):
    """And a trial that is promoted goes on with its optimizer's state, not with a fresh one."""
    folder, steps_at_start = searched
    monkeypatch.chdir(folder)
    trials = pd.read_csv(tune.TRIALS)
    assert list(trials.columns) == tune.COLUMNS
    promoted = trials["first_epoch"] > 1
    assert promoted.sum() == 1
    # 48 images to train on are one step an epoch at batch 64.
    assert steps_at_start == list(trials["first_epoch"] - 1)

    settings = params.load().tune
    tuner = tune.make_tuner(tune.Lenet(settings, 0), settings, tmp_path / "empty", 0)
    epochs = (trials["last_epoch"] - trials["first_epoch"] + 1).sum()
    assert tune.planned_epochs(tuner, settings) == epochs

    best = trials.loc[trials["val_accuracy"].idxmax()]
    found = read_yaml(tune.HYPERPARAMETERS)
    assert found == {"units": best["units"], "learning_rate": best["learning_rate"]}
    assert read_json(tune.METRICS)["trials"] == len(trials)


def test_the_first_error_in_a_trial_ends_the_search(project, monkeypatch):
    calls = []

    def broken(self, *args, **kwargs):
        calls.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr(tune.Lenet, "fit", broken)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        tune.main()
    assert len(calls) == 1
    assert not Path(tune.HYPERPARAMETERS).exists()


@pytest.mark.long
def test_a_bayesian_search_has_as_many_trials_as_the_params_say(project):
    set_params(project, {"tune.algorithm": "bayesian", "tune.max_trials": 2, "tune.max_epochs": 1})
    tune.main()
    assert len(pd.read_csv(tune.TRIALS)) == 2


@pytest.mark.parametrize(
    ("name", "held", "other"),
    [
        ("units", 48, "learning_rate"),
        pytest.param("learning_rate", 0.01, "units", marks=pytest.mark.long),
    ],
)
def test_what_is_one_value_is_not_searched_for(project, monkeypatch, capsys, name, held, other):
    """Two combinations are both trained, to the end; Hyperband would stop after an epoch."""
    built = []
    fit = tune.Lenet.fit

    def recorded(self, hp, model, *args, **kwargs):
        rate = round(float(model.optimizer.learning_rate), 6)
        built.append({"units": model.get_layer("dense_1").units, "learning_rate": rate})
        return fit(self, hp, model, *args, **kwargs)

    monkeypatch.setattr(tune.Lenet, "fit", recorded)
    units = {"min": 40, "max": 48, "step": 8}
    set_params(project, {"tune.units": units, "tune.learning_rate": [0.01, 0.001]})
    set_params(project, {f"tune.{name}": held, f"lenet.study.{name}": held})
    tune.main()
    out = capsys.readouterr().out
    assert f"tune: {name} is {held} by hand (tune.{name}); not searched for" in out
    assert "too few combinations for Hyperband" in out
    table = pd.read_csv(tune.TRIALS)
    assert len(table) == len(built) == 2
    for column in ("units", "learning_rate"):
        assert list(table[column]) == [model[column] for model in built]
    assert {model[name] for model in built} == {held}
    assert len({tuple(model.values()) for model in built}) == 2
    assert set(table["last_epoch"]) == {2}
    best = table.loc[table["val_accuracy"].idxmax()]
    assert read_yaml(tune.HYPERPARAMETERS) == {other: best[other]}


def test_nothing_is_searched_for_when_all_is_one_value(project, capsys):
    set_params(
        project,
        {
            "tune.units": 248,
            "tune.learning_rate": "1e-3",
            "lenet.study.units": 248,
            "lenet.study.learning_rate": "1e-3",
        },
    )
    tune.main()
    assert capsys.readouterr().out.count("by hand") == 2
    assert pd.read_csv(tune.TRIALS).empty
    assert read_yaml(tune.HYPERPARAMETERS) == {}
    assert read_json(tune.METRICS) == {"trials": 0}


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_brackets_are_those_of_keras_tuner(factor):
    for max_epochs in [*range(1, 31), 50, 81, 100, 243]:
        oracle = keras_tuner.oracles.HyperbandOracle(max_epochs=max_epochs, factor=factor)
        expected = [
            [
                (oracle._get_size(bracket, number), oracle._get_epochs(bracket, number))
                for number in range(oracle._get_num_rounds(bracket))
            ]
            for bracket in reversed(range(oracle._get_num_brackets()))
        ]
        assert tune.brackets(max_epochs, factor) == expected, max_epochs


def test_the_studys_search_admits_what_the_study_found():
    units = yaml.safe_load((ROOT / "params.yaml").read_text())["tune"]["units"]
    assert 248 in range(units["min"], units["max"] + 1, units["step"])
