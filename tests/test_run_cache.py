"""Nothing is trained twice: what DVC runs after an edit, in a clone, and beside a remote."""

import shutil
from pathlib import Path

import pytest

from stages.base.files import read_yaml
from tests import project
from tests.helpers import contents
from tests.repro import from_run_cache, ran, repro

pytestmark = [pytest.mark.slow, pytest.mark.radius]

TRAININGS = {"tune", "cv_lenet@study-1", "cv_lenet@study-2", "resnet@study", "vgg@study"}


@pytest.fixture
def clone(finished: Path, tmp_path: Path) -> Path:
    """A fresh clone of the finished demo: what lies in Git, and no cache."""
    project.git(finished, "clone", "--quiet", str(finished), str(tmp_path / "clone"))
    return tmp_path / "clone"


@pytest.fixture
def remote(scratch: Path, clone: Path, tmp_path: Path) -> Path:
    """A remote of both, which is empty."""
    url = ("remote", "modify", "--quiet", "--local", "storage", "url", str(tmp_path / "remote"))
    for folder in (scratch, clone):
        project.dvc(folder, *url)
    return tmp_path / "remote"


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


@pytest.mark.usefixtures("remote")
def test_what_was_tried_once_is_never_trained_again(scratch, clone):
    """Nor is what was there before, after DVC's garbage collector, which keeps what a commit has.

    Another clone takes both from a remote.
    """
    stage, tried = "resnet@study", {"resnet.study.dense_units": 16}
    project.set_params(scratch, tried)
    assert ran(repro(scratch, stage)) == [stage]
    trained = contents(scratch / "models/resnet")
    # Without a commit of it the outputs of what was tried are named by no lock but the tried one's;
    # those of the commit are, with this option.
    project.dvc(scratch, "push", "--quiet", "--run-cache", "--all-commits")
    project.dvc(scratch, "gc", "--quiet", "--force", "--all-commits", "--all-experiments")
    project.git(scratch, "restore", "params.yaml")
    output = repro(scratch)
    assert ran(output) == []
    assert from_run_cache(output) == [stage]
    assert project.git_output(scratch, "status", "--porcelain") == ""

    project.dvc(clone, "pull", "--quiet", "--run-cache")
    assert repro(clone).endswith("Data and pipelines are up to date.\n")
    assert contents(clone / "models") == contents(scratch / "models")
    project.set_params(clone, tried)
    output = repro(clone, "--single-item", "--pull", stage)
    assert ran(output) == []
    assert from_run_cache(output) == [stage]
    assert contents(clone / "models/resnet") == trained


def test_bytes_that_changed_on_a_remote_are_refused(scratch, clone, remote):
    """By `verify`, which `.dvc/config` sets; without it DVC takes them."""
    project.dvc(scratch, "push", "--quiet", "weights@vgg16")
    md5 = read_yaml(scratch / "dvc.lock")["stages"]["weights@vgg16"]["outs"][0]["md5"]
    stored = remote / "files/md5" / md5[:2] / md5[2:]
    stored.chmod(0o644)
    stored.write_bytes(stored.read_bytes() + b"!")
    stored.chmod(0o444)  # as DVC leaves it; what has another mode it looks at in any case
    pulled = project.dvc(clone, "pull", "weights@vgg16", check=False, capture_output=True)
    assert pulled.returncode != 0
    assert not (clone / "models/pretrained/vgg16.npz").exists()


def test_a_clone_in_which_a_pull_failed_runs_nothing_and_loses_nothing(clone):
    nowhere = ("remote", "modify", "--quiet", "--local", "storage", "url", str(clone.parent / "no"))
    project.dvc(clone, *nowhere)
    assert project.dvc(clone, "pull", check=False, capture_output=True).returncode != 0
    output = repro(clone, "--allow-missing")
    assert ran(output) == from_run_cache(output) == []
    assert project.git_output(clone, "status", "--porcelain") == ""


@pytest.mark.long
def test_compare_runs_in_a_clone_without_the_cache(clone):
    with (clone / "stages/compare.py").open("a") as file:
        file.write("\n# a change\n")
    assert set(ran(repro(clone, "--allow-missing"))) == {"compare"}


@pytest.mark.long
def test_in_a_clone_a_second_recipe_does_not_train_the_first(clone):
    params = read_yaml(clone / "params.yaml")
    changes = {f"{network}.second": params[network]["study"] for network in ("lenet", "resnet")}
    project.set_params(clone, changes)
    assert ran(repro(clone, "encode")) == ["ingest", "clean", "encode"]
    output = repro(clone, "--dry", "--allow-missing", "cv_lenet@second-1", "cv_lenet@second-2")
    assert sorted(ran(output)) == ["cv_lenet@second-1", "cv_lenet@second-2"]


def test_a_stage_that_fails_leaves_what_it_wrote_into_git(scratch):
    (scratch / "models/lenet/study-1/model.keras").write_bytes(b"half a model")
    assert project.git_output(scratch, "status", "--porcelain") == ""
    output = repro(scratch, "--single-item", "export@1", fails=True)
    assert ran(output) == ["export@1"]
    assert project.git_output(scratch, "status", "--porcelain") == ""
