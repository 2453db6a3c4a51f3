"""The run in the repository: `dvc.lock` and its outputs are of the code and params beside them."""

import re
from pathlib import Path

import pytest
from dvc.repo import Repo

from stages.base.files import read_json
from tests import project
from tests.helpers import run_python

HELP = """
dvc.lock is not of the code and the params as they stand: DVC would run {stages}.
Code and lock move together. On a machine that has DVC's cache (`dvc pull` fills it), run
`dvc repro`, and commit dvc.lock, metrics/, plots/ and models/ with the change. Where an edit cannot
change a result, as in a comment, `dvc commit --force STAGE` notes the new code without a run."""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Git has, without DVC's cache."""
    folder = tmp_path_factory.mktemp("clone")
    project.copy_project(folder, results=True)
    return folder


def would_run(folder: Path) -> list[str]:
    """The stages that DVC would run; it stops at the first one whose data are not there."""
    command = ("repro", "--dry", "--allow-missing")
    dry = project.dvc(folder, *command, check=False, capture_output=True, text=True)
    stages = re.findall(r"(?:Running stage|failed to reproduce) '(.*?)'", dry.stdout + dry.stderr)
    assert stages or dry.returncode == 0, dry.stderr
    return stages


def test_a_clean_clone_has_nothing_to_run_and_a_changed_script_is_noticed(clone):
    stages = would_run(clone)
    assert not stages, HELP.format(stages=", ".join(stages))
    script = clone / "stages/networks/heads.py"
    before = script.read_bytes()
    script.write_bytes(before + b"# a change")
    stages = would_run(clone)
    script.write_bytes(before)
    assert set(stages) & {"resnet@study", "vgg@study"}


def test_what_the_lock_names_is_in_git_as_it_says(clone, monkeypatch):
    """Every output that is not in the cache is there, and has the hash that the lock gives it."""
    monkeypatch.chdir(clone)
    with Repo(".") as repo:
        outs = [out for stage in repo.index.stages for out in stage.outs if not out.use_cache]
        assert [str(out) for out in outs if out.status()] == []


@pytest.mark.long
def test_the_model_in_git_knows_the_pictures_in_git():
    pictures = ("docs/ankle_boot.png", "docs/trouser.png")
    boot, trouser = run_python(project.ROOT, "-m", "tools.predict", *pictures).stdout.splitlines()
    assert boot.startswith("docs/ankle_boot.png: Ankle boot")
    assert trouser.startswith("docs/trouser.png: Trouser")


def test_the_run_is_the_studys_own():
    """At the study's settings, on all the images, and as good as it can be expected to be."""
    params = project.read_params(project.ROOT)
    for network in ("lenet", "resnet", "vgg"):
        study = params[network]["study"]
        assert (study["epochs"], study["batch_size"]) == (30, 64)
    assert read_json(project.ROOT / "metrics/clean.json")["rows"] == 60_000
    compared = read_json(project.ROOT / "metrics/compare.json")
    assert 0.90 <= compared["lenet_study_test_accuracy"] <= 0.925


def test_nothing_in_git_is_larger_than_a_megabyte_and_a_half(clone):
    files = [path for path in clone.rglob("*") if ".git" not in path.parts]
    assert [str(path) for path in files if path.stat().st_size > 1_500_000] == []
