"""The plan of a run, and the Makefile."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages.base.files import read_yaml
from tests import project
from tests.helpers import run_python
from tests.project import ROOT, copy_project, set_params
from tools import plan


@pytest.mark.slow
def test_the_plan_names_what_follows_from_a_change(scratch, monkeypatch, capsys):
    monkeypatch.chdir(scratch)
    plan.main(None)
    assert capsys.readouterr().out.startswith("Nothing to run: all ")
    set_params(scratch, {"vgg.study.dense_units": 64})
    plan.main(None)
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["vgg@study", "evaluate_vgg@study"]
    assert {line.split()[0] for line in lines[2:]} == {"compare", "misclassified", "report"}


@pytest.mark.parametrize(
    ("kind", "said"), [("wrong", "validation failed"), ("ignored", "DVC sees no stage")]
)
def test_a_pipeline_that_dvc_cannot_read_is_one_error(tmp_path, kind, said):
    copy = tmp_path / "copy"
    copy_project(copy)
    if kind == "wrong":
        (copy / "dvc.yaml").write_text("stages: 3\n")
    else:  # by a repository around it
        shutil.rmtree(copy / ".git")
        project.git(tmp_path, "init", "--quiet")
        (tmp_path / ".gitignore").write_text("copy\n")
    done = run_python(copy, "-m", "tools.plan")
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_reader_of_the_plan_may_go_away(tmp_path):
    copy_project(tmp_path / "copy")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "tools.plan"]
    with os.fdopen(writing, "w") as nobody:
        done = subprocess.run(
            command, cwd=tmp_path / "copy", stdout=nobody, stderr=subprocess.PIPE, check=False
        )
    assert done.stderr == b""


def test_a_stage_that_never_ran_is_taken_for_the_mean_of_its_like():
    seconds = {"cv_lenet@study-1": 60.0, "cv_lenet@study-2": 120.0, "resnet@study": 5.0}
    assert plan.estimate("cv_lenet@study-2", seconds) == 120.0
    assert plan.estimate("cv_lenet@new-1", seconds) == 90.0
    assert plan.estimate("vgg@study", seconds) is None


def test_times_are_of_the_last_run_on_the_same_data(project):
    """And of what is still in the lock; the report shows what is noted of them."""
    (project / ".work").mkdir()
    rows = ["clean,1,sample", "clean,2,sample", "clean,3,csv", "gone,4,sample"]
    (project / plan.TIMES).write_text("\n".join(["stage,seconds,source", *rows]))
    (project / "dvc.lock").write_text("stages: {clean: {}, eda: {}}")
    (project / "metrics").mkdir()
    set_params(project, {"data.source": "sample"})
    plan.main("a machine")
    noted = {"machine": "a machine", "seconds": {"clean": 2.0}}
    assert read_yaml(plan.FULL_RUN) == noted


@pytest.fixture
def makefile(tmp_path: Path) -> Path:
    """A folder with the Makefile, and nothing to install."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "requirements.lock").touch()
    return tmp_path


def make(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [shutil.which("make"), *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_renews_its_own_environment_in_place_and_touches_no_other(makefile):
    assert make(makefile, "setup").returncode == 0
    mine = makefile / ".venv/mine"
    mine.touch()
    os.utime(makefile / "requirements.lock", (4e9, 4e9))
    assert make(makefile, "setup").returncode == 0
    (makefile / ".venv/.ready").unlink()
    done = make(makefile, "setup")
    assert "make: error: .venv is not from make" in done.stderr
    assert mine.exists()


def test_a_python_that_cannot_make_an_environment_leaves_none(makefile):
    """Debian's without python3-venv: it ends halfway, and says itself what to install."""
    halfway = makefile / "bin/python3"
    halfway.parent.mkdir()
    halfway.write_text("#!/bin/sh\n[ $1 = -c ] || { mkdir -p .venv/bin; exit 1; }\n")
    halfway.chmod(0o755)
    for name in ("mkdir", "rm", "sh", "touch"):
        (makefile / "bin" / name).symlink_to(shutil.which(name))
    done = make(makefile, "setup", PATH=str(makefile / "bin"))
    assert "make: error: no Python 3.11, 3.12 or 3.13 " in done.stderr
    assert not (makefile / ".venv").exists()
