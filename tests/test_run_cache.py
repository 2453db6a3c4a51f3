"""Nothing is trained twice: what DVC runs after an edit, and in a clone."""

import shutil
import subprocess
from pathlib import Path

import pytest

from stages.base.files import read_json, read_yaml
from tests import project
from tests.helpers import contents
from tests.repro import LAST, from_run_cache, ran, repro

pytestmark = [pytest.mark.slow, pytest.mark.radius]

TRAININGS = {"tune", "cv_lenet@study-1", "cv_lenet@study-2", "resnet@study", "vgg@study"}
EVALUATIONS = {
    "evaluate_lenet@study-1",
    "evaluate_lenet@study-2",
    "evaluate_resnet@study",
    "evaluate_vgg@study",
}
EXPORTS = {"export@1", "export@2"}
SECOND = {"features": "resnet50-study", "dense_units": 8, "dense_layers": 1, "epochs": 1}
SECOND |= {"learning_rate": 0.01, "batch_size": 64, "cross_validated": True}


def in_git(folder: Path) -> str:
    """What differs from the last commit: nothing, where this is empty."""
    command = ["git", "status", "--porcelain"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def clone(finished: Path, tmp_path: Path) -> Path:
    """A fresh clone of the finished demo: what lies in Git, and no cache."""
    project.git(finished, "clone", "--quiet", str(finished), str(tmp_path / "clone"))
    return tmp_path / "clone"


def test_the_run_cache_has_every_training(scratch):
    """Without its lock DVC does not know that any stage ever ran."""
    before = read_yaml(scratch / "dvc.lock")["stages"]
    (scratch / "dvc.lock").unlink()
    for folder in ("data/encoded", "data/features", "models/tune", "models/lenet", "models/vgg"):
        shutil.rmtree(scratch / folder)
    output = repro(scratch, "cv_lenet", "resnet", "vgg")
    assert set(ran(output)) <= {"choose"}
    assert set(from_run_cache(output)) >= TRAININGS
    after = read_yaml(scratch / "dvc.lock")["stages"]
    assert after == {name: before[name] for name in after}


@pytest.mark.parametrize(
    ("stage", "name", "value"),
    [
        ("resnet@study", "resnet.study.dense_units", 16),
        pytest.param("tune", "tune.max_epochs", 1, marks=pytest.mark.long),
    ],
)
def test_a_value_set_back_by_hand_trains_nothing(scratch, stage, name, value):
    """Not even after DVC's garbage collector, which keeps what a commit has."""
    project.set_params(scratch, {name: value})
    assert ran(repro(scratch, stage)) == [stage]
    project.dvc(scratch, "gc", "--quiet", "--force", "--all-commits", "--all-experiments")
    project.git(scratch, "restore", "params.yaml")
    output = repro(scratch)
    assert ran(output) == []
    assert from_run_cache(output) == [stage]
    assert in_git(scratch) == ""


def test_a_clone_in_which_a_pull_failed_runs_nothing_and_loses_nothing(clone):
    nowhere = ("remote", "modify", "--quiet", "--local", "storage", "url", str(clone.parent / "no"))
    project.dvc(clone, *nowhere)
    assert project.dvc(clone, "pull", check=False, capture_output=True).returncode != 0
    output = repro(clone, "--allow-missing")
    assert ran(output) == from_run_cache(output) == []
    assert in_git(clone) == ""


def test_in_a_clone_a_second_recipe_does_not_train_the_first(clone):
    lenet = read_yaml(clone / "params.yaml")["lenet"]["study"]
    project.set_params(clone, {"lenet.second": {**lenet, "epochs": 1}, "resnet.second": SECOND})
    assert ran(repro(clone, "encode")) == ["ingest", "clean", "encode"]
    output = repro(clone, "--dry", "--allow-missing", "cv_lenet@second-1", "cv_lenet@second-2")
    assert sorted(ran(output)) == ["cv_lenet@second-1", "cv_lenet@second-2"]


@pytest.mark.long
def test_in_a_clone_a_second_recipe_is_trained_in_folds_evaluated_and_compared(clone):
    project.set_params(clone, {"resnet.second": SECOND})
    assert not TRAININGS & set(ran(repro(clone, "encode", "features@resnet50-study")))
    output = repro(clone, "--allow-missing")
    assert set(ran(output)) == {"resnet@second", "evaluate_resnet@second", *LAST}
    folders = [path.name for path in (clone / "metrics/resnet/second").iterdir()]
    assert sorted(folders) == ["1", "2"]
    compared = read_json(clone / "metrics/compare.json")
    for recipe in ("study", "second"):
        assert any(name.startswith(f"resnet_{recipe}_") for name in compared)


@pytest.mark.long
def test_another_metric_trains_nothing(scratch):
    module = scratch / "stages/results/evaluation.py"
    line = '        "test_accuracy": test.accuracy,\n'
    new = '        "test_images": len(test.labels),\n'
    assert line in module.read_text()
    module.write_text(module.read_text().replace(line, line + new))
    assert set(ran(repro(scratch, "--dry"))) == EVALUATIONS | LAST

    metrics = scratch / "metrics/lenet/study/1/metrics.json"
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
    key = "    standardise: bool | None = "
    new = "    a_new_one: float | None = None\n"
    assert schema.read_text().count(key) == 1
    schema.write_text(schema.read_text().replace(key, new + key))
    assert ran(repro(scratch, "--dry")) == []
    project.set_params(scratch, {"vgg.study.a_new_one": 0.5})
    assert set(ran(repro(scratch))) == {"vgg@study", "evaluate_vgg@study", *LAST}
    assert read_json(scratch / "metrics/vgg/study/1/training.json")["a_new_one"] == 0.5
