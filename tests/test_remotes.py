"""What one clone trained, another takes from a remote."""

import shutil
from pathlib import Path

import pytest

from stages.base.files import read_yaml
from tests import project
from tests.conftest import copy_with_cache
from tests.helpers import contents
from tests.repro import from_run_cache, ran, repro

TRIED = {"tune.max_epochs": 1, "resnet.study.dense_units": 16}
STAGES = ["tune", "resnet@study"]


def two_clones(finished: Path, folder: Path) -> tuple[Path, Path]:
    """A copy of the finished demo with its cache, a clone without one, and a remote of both."""
    clones = folder / "first", folder / "second"
    copy_with_cache(finished, clones[0])
    project.git(finished, "clone", "--quiet", str(finished), str(clones[1]))
    url = str(folder / "remote")
    for clone in clones:
        project.dvc(clone, "remote", "modify", "--quiet", "--local", "storage", "url", url)
    return clones


@pytest.mark.slow
def test_another_clone_trains_nothing_that_a_remote_has(finished, tmp_path):
    """Committed or only tried: a clone of the commit tries what the first one tried."""
    first, second = two_clones(finished, tmp_path)
    project.set_params(first, TRIED)
    assert ran(repro(first, "--single-item", *STAGES)) == STAGES
    # Without a commit of it the outputs of what was tried are named by no lock but the tried one's;
    # those of the commit are, with this option.
    project.dvc(first, "push", "--quiet", "--run-cache", "--all-commits")
    project.dvc(second, "pull", "--quiet", "--run-cache")
    assert repro(second).endswith("Data and pipelines are up to date.\n")

    shutil.copy(first / "params.yaml", second)
    output = repro(second, "--single-item", "--pull", *STAGES)
    assert ran(output) == []
    assert from_run_cache(output) == STAGES
    for model in ("tune", "lenet/study-1", "resnet/study"):
        assert contents(second / "models" / model) == contents(first / "models" / model)
    for clone in (first, second):
        shutil.rmtree(clone)


@pytest.mark.slow
def test_bytes_that_changed_on_a_remote_are_refused(finished, tmp_path):
    """By `verify`, which `.dvc/config` sets; without it DVC takes them."""
    first, second = two_clones(finished, tmp_path)
    project.dvc(first, "push", "--quiet", "weights@vgg16")
    md5 = read_yaml(first / "dvc.lock")["stages"]["weights@vgg16"]["outs"][0]["md5"]
    stored = tmp_path / "remote/files/md5" / md5[:2] / md5[2:]
    stored.chmod(0o644)
    stored.write_bytes(stored.read_bytes() + b"!")
    stored.chmod(0o444)  # as DVC leaves it; what has another mode it looks at in any case
    pulled = project.dvc(second, "pull", "weights@vgg16", check=False, capture_output=True)
    assert pulled.returncode != 0
    assert not (second / "models/pretrained/vgg16.npz").exists()
    shutil.rmtree(first)
