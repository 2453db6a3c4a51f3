"""The commands beside the stages: what will run, how long it took, and the Makefile."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests import project
from tests.project import ROOT, copy_project, set_params
from tools import plan, times

SENT = "touch was-run"


def run_plan(folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tools.plan"]
    return subprocess.run(
        command, cwd=folder, env=project.environment(), capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_plan_names_what_follows_from_a_change(scratch, monkeypatch, capsys):
    monkeypatch.chdir(scratch)
    plan.main()
    assert capsys.readouterr().out.startswith("Nothing to run: all ")
    set_params(scratch, {"vgg.study.dense_units": 64})
    plan.main()
    _, _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:2]] == ["vgg@study", "evaluate_vgg@study"]
    assert {line.split()[1] for line in lines[2:]} == {"compare", "misclassified", "report"}


def test_a_pipeline_that_dvc_cannot_read_is_one_error(tmp_path):
    copy_project(tmp_path / "copy")
    (tmp_path / "copy/dvc.yaml").write_text("stages: 3\n")
    done = run_plan(tmp_path / "copy")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "plan: error: './dvc.yaml' validation failed\n"


def test_a_project_that_a_repository_around_it_ignores_is_one_error(tmp_path):
    project.git(tmp_path, "init", "--quiet")
    (tmp_path / ".gitignore").write_text("copy\n")
    copy_project(tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy/.git")
    done = run_plan(tmp_path / "copy")
    assert (done.returncode, done.stdout) == (1, "")
    assert "DVC sees no stage" in done.stderr
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
    assert plan.estimate("cv_lenet@study-2", seconds) == (120.0, "")
    assert plan.estimate("cv_lenet@new-1", seconds)[0] == 90.0
    assert plan.estimate("vgg@study", seconds)[0] is None


@pytest.mark.slow
def test_times_are_of_the_last_run_and_of_its_data(scratch, monkeypatch):
    monkeypatch.chdir(scratch)
    table = pd.read_csv(times.TIMES)
    assert times.known() == dict(zip(table["stage"], table["seconds"], strict=True))
    set_params(scratch, {"data.source": "fashion_mnist"})
    assert times.here() == {}, "they are those of the sample"
    assert times.known()["cv_lenet@study-1"] > 60, "of the repository's own run"


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


def test_no_variable_is_run_or_changes_a_target(makefile):
    names = ("IMAGE", "MODEL", "SHOW", "ROW", "JOBS", "STAGE", "PYTHON")
    values = dict.fromkeys(names, f"`{SENT}`$(shell {SENT})'; {SENT}; '")
    for target in ("help", "repro", "plan", "demo", "test", "test-long", "bench"):
        plain = make(makefile, "--dry-run", target).stdout
        assert plain
        assert make(makefile, "--dry-run", target, **values).stdout == plain
        given = [f"{name}={value}" for name, value in values.items()]
        assert make(makefile, "--dry-run", target, *given).stdout == plain
    assert not (makefile / "was-run").exists()
