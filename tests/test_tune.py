"""The search: its schedule, its interruption, and what it leaves alone."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from stages import tune
from stages import params
from stages.common.files import read_json, read_yaml
from tools.demo import set_params
from tests.imports import ROOT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 60 encoded training images, and params for a search of seven epochs."""
    (tmp_path / "data/encoded").mkdir(parents=True)
    random = np.random.default_rng(0)
    np.save(tmp_path / "data/encoded/x_train.npy", random.random((60, 28, 28, 1), np.float32))
    labels = np.eye(10, dtype=np.float32)[np.arange(60) % 10]
    np.save(tmp_path / "data/encoded/y_train.npy", labels)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    set_params(
        tmp_path,
        {
            "tune.max_epochs": 2,
            "tune.factor": 2,
            "tune.units": {"min": 32, "max": 64, "step": 8},
        },
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def interrupt_after(trials: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the search be broken off, as by Ctrl-C, when one more trial is about to train."""
    fit, count = tune.Lenet.fit, iter(range(trials))

    def interrupted(self, *args, **kwargs):
        if next(count, None) is None:
            raise KeyboardInterrupt
        return fit(self, *args, **kwargs)

    monkeypatch.setattr(tune.Lenet, "fit", interrupted)


@pytest.mark.slow
def test_an_interrupted_search_goes_on_and_finds_the_same(project, monkeypatch, capsys):
    tune.main()
    uninterrupted = {path: Path(path).read_bytes() for path in (tune.TRIALS, tune.METRICS)}
    for path in uninterrupted:
        Path(path).unlink()

    with monkeypatch.context() as patch:
        interrupt_after(3, patch)
        with pytest.raises(KeyboardInterrupt):
            tune.main()
    assert not Path(tune.METRICS).exists()
    capsys.readouterr()
    tune.main()
    assert "going on after 3 finished trials" in capsys.readouterr().out
    assert {path: Path(path).read_bytes() for path in uninterrupted} == uninterrupted


@pytest.mark.slow
def test_a_changed_param_starts_a_fresh_search(project, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt_after(1, patch)
        with pytest.raises(KeyboardInterrupt):
            tune.main()
    set_params(project, {"tune.batch_size": 32})
    tune.main()
    assert "going on" not in capsys.readouterr().out


@pytest.mark.slow
def test_the_trials_follow_hyperbands_schedule(project, monkeypatch):
    """And a trial that is promoted goes on with its optimizer's state, not with a fresh one."""
    steps_at_start = []
    fit = tune.Lenet.fit

    def recorded(self, hp, model, *args, **kwargs):
        steps_at_start.append(int(model.optimizer.iterations))
        return fit(self, hp, model, *args, **kwargs)

    monkeypatch.setattr(tune.Lenet, "fit", recorded)
    tune.main()
    trials = pd.read_csv(tune.TRIALS)
    assert list(trials.columns) == tune.COLUMNS
    promoted = trials["first_epoch"] > 1
    assert promoted.sum() == 1
    # 48 images to train on are one step an epoch at batch 64.
    assert steps_at_start == list(trials["first_epoch"] - 1)

    settings = params.load().tune
    tuner = tune.make_tuner(tune.Lenet(settings, {}, 0), settings, project / "empty", 0)
    epochs = (trials["last_epoch"] - trials["first_epoch"] + 1).sum()
    assert tune.planned_epochs(tuner, settings, {}) == epochs

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


@pytest.mark.parametrize("algorithm", ["random", "bayesian"])
def test_other_algorithms_run_as_many_trials_as_the_params_say(project, algorithm):
    set_params(project, {"tune.algorithm": algorithm, "tune.max_trials": 3, "tune.max_epochs": 1})
    tune.main()
    assert len(pd.read_csv(tune.TRIALS)) == 3


def test_what_is_set_by_hand_is_not_searched_for(project, monkeypatch, capsys):
    built = []
    fit = tune.Lenet.fit

    def recorded(self, hp, model, *args, **kwargs):
        built.append(model.get_layer("dense_1").units)
        return fit(self, hp, model, *args, **kwargs)

    monkeypatch.setattr(tune.Lenet, "fit", recorded)
    set_params(project, {"lenet.study.units": 248, "tune.max_epochs": 3, "tune.factor": 3})
    tune.main()
    assert set(built) == {248}
    assert "units is 248 by hand (lenet.study.units)" in capsys.readouterr().out
    trials = pd.read_csv(tune.TRIALS)
    assert set(trials["units"]) == {248}
    # Three rates are too few for Hyperband, which would stop after a first round of one epoch.
    assert sorted(trials["learning_rate"]) == [0.0001, 0.001, 0.01]
    assert set(trials["last_epoch"]) == {3}
    assert read_yaml(tune.HYPERPARAMETERS)["units"] == 248


def test_nothing_is_searched_when_all_is_set_by_hand(project, capsys):
    set_params(project, {"lenet.study.units": 248, "lenet.study.learning_rate": "1e-3"})
    tune.main()
    assert capsys.readouterr().out.count("by hand") == 2
    assert pd.read_csv(tune.TRIALS).empty
    assert read_yaml(tune.HYPERPARAMETERS) == {"units": 248, "learning_rate": 0.001}


def test_the_studys_search_admits_what_the_study_found():
    units = yaml.safe_load((ROOT / "params.yaml").read_text())["tune"]["units"]
    assert 248 in range(units["min"], units["max"] + 1, units["step"])
