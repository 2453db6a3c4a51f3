"""Nothing is trained twice: what DVC runs after an edit, and in a clone."""

import shutil
import subprocess
from pathlib import Path

import pytest

from stages.base.files import read_yaml
from tests import project
from tests.helpers import contents
from tests.repro import from_run_cache, ran, repro

pytestmark = [pytest.mark.slow, pytest.mark.radius]

TRAININGS = {"tune", "cv_lenet@study-1", "cv_lenet@study-2", "resnet@study", "vgg@study"}


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


def test_a_value_set_back_by_hand_trains_nothing(scratch):
    """Not even after DVC's garbage collector, which keeps what a commit has."""
    stage = "resnet@study"
    project.set_params(scratch, {"resnet.study.dense_units": 16})
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
    params = read_yaml(clone / "params.yaml")
    changes = {f"{network}.second": params[network]["study"] for network in ("lenet", "resnet")}
    project.set_params(clone, changes)
    assert ran(repro(clone, "encode")) == ["ingest", "clean", "encode"]
    output = repro(clone, "--dry", "--allow-missing", "cv_lenet@second-1", "cv_lenet@second-2")
    assert sorted(ran(output)) == ["cv_lenet@second-1", "cv_lenet@second-2"]


def test_an_evaluation_that_fails_leaves_the_old_numbers(scratch):
    before = contents(scratch / "metrics")
    (scratch / "models/lenet/study-1/model.keras").write_bytes(b"half a model")
    output = repro(scratch, "--single-item", "evaluate_lenet@study-1", fails=True)
    assert ran(output) == ["evaluate_lenet@study-1"]
    assert contents(scratch / "metrics") == before
