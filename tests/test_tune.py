"""The search: its trials, its interruption, and what it does not search."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages import choose, tune
from stages.base.files import read_json, read_yaml
from tests.helpers import contents, traced_memory, write_encoded
from tests.project import ROOT, set_params


def make_project(folder: Path) -> None:
    """60 encoded training images of 26 classes, no test set, and params for seven epochs."""
    x = np.random.default_rng(0).random((60, 28, 28, 1), np.float32)
    y = np.eye(26, dtype=np.float32)[np.arange(60) % 26]
    write_encoded(folder / "data/encoded/train", x, y, list("abcdefghijklmnopqrstuvwxyz"))
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
        choose.main()
    return folder, steps


def interrupted_after(trials: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Search until one more trial is about to train, as with Ctrl-C in that moment."""
    fit, count = tune.Lenet.fit, iter(range(trials))

    def interrupted(self, *args, **kwargs):
        if next(count, None) is None:
            raise KeyboardInterrupt
        return fit(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(tune.Lenet, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tune.main()
    assert not tune.OUTPUT.exists()


@pytest.mark.kills
@pytest.mark.long
def test_an_interrupted_search_ends_in_the_same_bytes(searched, project, monkeypatch, capsys):
    interrupted_after(3, monkeypatch)
    tune.main()
    assert "going on after 3 finished trials" in capsys.readouterr().out
    assert contents(tune.OUTPUT) == contents(searched[0] / tune.OUTPUT)


@pytest.mark.long
def test_a_changed_param_starts_a_fresh_search(project, monkeypatch, capsys):
    """With as many trials as the params say."""
    changes = {"tune.algorithm": "random", "tune.max_trials": 2, "tune.max_epochs": 1}
    set_params(project, changes)
    interrupted_after(1, monkeypatch)
    set_params(project, {"tune.algorithm": "bayesian"})
    tune.main()
    assert "going on" not in capsys.readouterr().out
    assert len(pd.read_csv(tune.OUTPUT / "trials.csv")) == 2


@pytest.mark.leaks
def test_a_promoted_trial_goes_on_with_its_optimizer(searched, monkeypatch):
    folder, steps_at_start = searched
    monkeypatch.chdir(folder)
    trials = pd.read_csv("plots/tune/trials.csv")
    assert list(trials.columns) == tune.COLUMNS
    assert (trials["first_epoch"] > 1).sum() == 1
    # 48 training images are one step an epoch in batches of 64.
    assert steps_at_start == list(trials["first_epoch"] - 1)
    best = trials.loc[trials["val_accuracy"].idxmax()]
    assert read_yaml("metrics/hyperparameters.yaml") == {
        "units": best["units"],
        "learning_rate": best["learning_rate"],
    }
    assert read_json("metrics/tune.json")["trials"] == len(trials)


def test_the_first_error_in_a_trial_ends_the_search(project, monkeypatch):
    errors = iter([ZeroDivisionError])  # a second trial would raise StopIteration

    def broken(self, *args, **kwargs):
        raise next(errors)

    monkeypatch.setattr(tune.Lenet, "fit", broken)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        tune.main()
    assert not tune.OUTPUT.exists()


def test_a_trial_that_diverges_is_the_worst(project):
    changes = {"algorithm": "random", "objective": "val_loss", "max_trials": 1, "max_epochs": 1}
    set_params(project, {f"tune.{key}": value for key, value in changes.items()})
    labels = np.full((60, 26), np.nan, np.float32)
    np.save(project / tune.INPUT / "labels.npy", labels)
    tune.main()
    assert list(pd.read_csv(tune.OUTPUT / "trials.csv")["val_loss"]) == [np.inf]


@pytest.mark.long
def test_a_single_value_is_not_searched(project):
    """The two combinations that are left are both trained to the end, without Hyperband."""
    set_params(project, {"tune.learning_rate": [0.01, 0.001], "tune.units": 48})
    set_params(project, {"lenet.study.units": 48})
    tune.main()
    table = pd.read_csv(tune.OUTPUT / "trials.csv")
    assert list(table["units"]) == [48, 48]
    assert sorted(table["learning_rate"]) == [0.001, 0.01]
    assert set(table["last_epoch"]) == {2}
    best = table.loc[table["val_accuracy"].idxmax()]
    chosen = read_yaml(tune.OUTPUT / "hyperparameters.yaml")
    assert chosen == {"learning_rate": best["learning_rate"]}


@pytest.mark.long
def test_the_images_stay_on_disk(project):
    set_params(project, {"tune.algorithm": "random", "tune.max_trials": 1, "tune.max_epochs": 1})
    labels = np.eye(26, dtype=np.float32)[np.arange(6_000) % 26]
    images = np.zeros((6_000, 28, 28, 1), np.float32)
    np.save("data/encoded/train/images.npy", images)
    np.save("data/encoded/train/labels.npy", labels)
    with traced_memory() as taken:
        tune.main()
    assert taken.peak < images.nbytes


def test_nothing_is_searched_when_all_values_are_single(project):
    values = {"units": 248, "learning_rate": 0.001}
    set_params(project, {f"tune.{name}": value for name, value in values.items()})
    set_params(project, {f"lenet.study.{name}": value for name, value in values.items()})
    tune.main()
    assert pd.read_csv(tune.OUTPUT / "trials.csv").empty
    assert read_yaml(tune.OUTPUT / "hyperparameters.yaml") == {}
    assert read_json(tune.OUTPUT / "tune.json") == {"trials": 0}
