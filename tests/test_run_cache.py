"""Nothing is trained twice: what DVC runs after an edit, in a clone, and from a remote."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stages.base.files import read_json, read_yaml
from tests import project
from tests.conftest import copy_with_cache
from tests.helpers import contents
from tests.repro import LAST, from_run_cache, ran, repro

pytestmark = pytest.mark.slow

TRAININGS = {"tune", "cv_lenet@study-1", "cv_lenet@study-2", "resnet@study", "vgg@study"}
EVALUATIONS = {
    "evaluate_lenet@study-1",
    "evaluate_lenet@study-2",
    "evaluate_resnet@study",
    "evaluate_vgg@study",
}
ANOTHER_VALUE = {"resnet.study.dense_units": 16, "lenet.study.epochs": 1, "tune.max_epochs": 1}


def in_git(folder: Path) -> str:
    """What differs from the last commit: nothing, where this is empty."""
    command = ["git", "status", "--porcelain"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def clone(finished: Path, folder: Path) -> Path:
    """A fresh clone of the finished demo: what lies in Git, and no cache."""
    project.git(finished, "clone", "--quiet", str(finished), str(folder))
    return folder


TRIED = "resnet@study"


@pytest.fixture(scope="module")
def tried(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the finished demo in which the training `TRIED` ran with another value."""
    folder = tmp_path_factory.mktemp("tried") / "first"
    copy_with_cache(finished, folder)
    name = "resnet.study.dense_units"
    project.set_params(folder, {name: ANOTHER_VALUE[name]})
    assert ran(repro(folder, TRIED)) == [TRIED]
    yield folder
    shutil.rmtree(folder)


def test_the_run_cache_has_every_training(scratch):
    """Without its lock DVC does not know that any stage ever ran."""
    before = read_yaml(scratch / "dvc.lock")["stages"]
    (scratch / "dvc.lock").unlink()
    for folder in ("data/encoded", "data/features", "models/lenet", "models/resnet", "models/vgg"):
        shutil.rmtree(scratch / folder)
    output = repro(scratch, "tune", "cv_lenet", "resnet", "vgg")
    assert ran(output) == []
    assert set(from_run_cache(output)) >= TRAININGS
    after = read_yaml(scratch / "dvc.lock")["stages"]
    assert after == {name: before[name] for name in after}


def test_values_set_back_by_hand_train_nothing(tried, tmp_path):
    folder = tmp_path / "copy"
    copy_with_cache(tried, folder)
    project.git(folder, "restore", "params.yaml")
    output = repro(folder)
    assert ran(output) == []
    assert from_run_cache(output) == [TRIED]
    assert in_git(folder) == ""
    shutil.rmtree(folder)


@pytest.mark.long
@pytest.mark.parametrize("name", ANOTHER_VALUE)
def test_a_value_set_back_by_hand_trains_nothing_in_the_whole_pipeline(scratch, name):
    project.set_params(scratch, {name: ANOTHER_VALUE[name]})
    trained = set(ran(repro(scratch))) & TRAININGS
    assert trained
    project.git(scratch, "restore", "--worktree", "params.yaml")
    output = repro(scratch)
    assert set(ran(output)) <= EVALUATIONS | LAST | {"export@1", "export@2"}
    assert set(from_run_cache(output)) == trained
    assert repro(scratch).endswith("Data and pipelines are up to date.\n")


def test_another_clone_trains_nothing_that_a_remote_has(tried, finished, tmp_path):
    """Two clones, and a remote in a third folder: the second one tries what the first one tried."""
    second = clone(finished, tmp_path / "second")
    shutil.copy(tried / "params.yaml", second)
    remote = ("remote", "modify", "--quiet", "--local", "storage", "url", str(tmp_path / "remote"))
    for folder in (tried, second):
        project.dvc(folder, *remote)
    # Without a commit of it the outputs of what was tried are named by no lock but the tried one's;
    # those of the commit are, with this option.
    project.dvc(tried, "push", "--quiet", "--run-cache", "--all-commits")
    project.dvc(second, "pull", "--quiet", "--run-cache")
    output = repro(second, "--pull", TRIED)
    assert ran(output) == []
    assert from_run_cache(output) == [TRIED]
    model = "models/resnet/study"
    assert contents(second / model) == contents(tried / model)
    for folder in (second, tmp_path / "remote"):
        shutil.rmtree(folder)


def test_a_clone_in_which_a_pull_failed_runs_nothing_and_loses_nothing(finished, tmp_path):
    folder = clone(finished, tmp_path / "clone")
    nowhere = ("remote", "modify", "--quiet", "--local", "storage", "url", str(tmp_path / "no"))
    project.dvc(folder, *nowhere)
    assert project.dvc(folder, "pull", check=False, capture_output=True).returncode != 0
    output = repro(folder, "--allow-missing")
    assert ran(output) == from_run_cache(output) == []
    assert in_git(folder) == ""


SECOND = {"features": "resnet50-study", "dense_units": 8, "dense_layers": 1, "epochs": 1}
SECOND |= {"learning_rate": 0.01, "batch_size": 64, "validation_split": 0.2}


def test_in_a_clone_a_second_recipe_does_not_train_the_first(finished, tmp_path):
    folder = clone(finished, tmp_path / "clone")
    lenet = read_yaml(folder / "params.yaml")["lenet"]["study"]
    project.set_params(folder, {"lenet.second": {**lenet, "epochs": 1}, "resnet.second": SECOND})
    assert ran(repro(folder, "encode")) == ["ingest", "clean", "encode"]
    output = repro(folder, "--dry", "--allow-missing", "cv_lenet@second-1", "cv_lenet@second-2")
    assert sorted(ran(output)) == ["cv_lenet@second-1", "cv_lenet@second-2"]


@pytest.mark.long
def test_in_a_clone_a_second_recipe_is_trained_evaluated_and_compared(finished, tmp_path):
    folder = clone(finished, tmp_path / "clone")
    project.set_params(folder, {"resnet.second": SECOND})
    assert not TRAININGS & set(ran(repro(folder, "encode", "features@resnet50-study")))
    output = repro(folder, "--allow-missing")
    assert set(ran(output)) == {"resnet@second", "evaluate_resnet@second", *LAST}
    compared = read_json(folder / "metrics/compare.json")
    assert {"resnet_study_test_accuracy", "resnet_second_test_accuracy"} <= set(compared)


@pytest.mark.long
def test_another_metric_trains_nothing(scratch):
    module = scratch / "stages/results/evaluation.py"
    line = '        "best_epoch": training["best_epoch"],\n'
    new = '        "test_images": len(test.labels),\n'
    assert line in module.read_text()
    module.write_text(module.read_text().replace(line, line + new))
    assert set(ran(repro(scratch, "--dry"))) == EVALUATIONS | LAST

    metrics = scratch / "metrics/lenet/study-1/metrics.json"
    before = read_json(metrics)
    assert ran(repro(scratch, "evaluate_lenet@study-1")) == ["evaluate_lenet@study-1"]
    assert read_json(metrics) == {**before, "test_images": 500}


def test_an_evaluation_that_fails_leaves_the_old_numbers(scratch):
    before = contents(scratch / "metrics")
    (scratch / "models/lenet/study-1/model.keras").write_bytes(b"half a model")
    output = repro(scratch, "--single-item", "evaluate_lenet@study-1", fails=True)
    assert ran(output) == ["evaluate_lenet@study-1"]
    assert contents(scratch / "metrics") == before


@pytest.mark.long
def test_a_new_key_reruns_the_head_that_has_it_and_what_follows(scratch):
    schema = scratch / "stages/params.py"
    key = "    standardise: bool | None = None\n"
    new = "    a_new_one: float | None = None\n"
    assert schema.read_text().count(key) == 1
    schema.write_text(schema.read_text().replace(key, key + new))
    assert ran(repro(scratch, "--dry")) == []
    project.set_params(scratch, {"vgg.study.a_new_one": 0.5})
    assert set(ran(repro(scratch))) == {"vgg@study", "evaluate_vgg@study", *LAST}
    assert read_json(scratch / "metrics/vgg/study/training.json")["a_new_one"] == 0.5
