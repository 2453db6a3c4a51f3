"""How the demo is started: by whom, where, and with which settings of Git."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from tests import project
from tests.helpers import run_python
from tests.project import git_output


def demo(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Run the demo of the project in `folder`."""
    return run_python(folder, "-m", "tools.demo", *arguments, **variables)


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """A repository of the project with a commit, whose pipeline is one quick stage."""
    folder = tmp_path / "quick"
    project.copy_project(folder)
    stage = {"cmd": "mkdir -p plots && echo written > plots/report.html", "deps": ["params.yaml"]}
    stage["outs"] = [{"plots/report.html": {"cache": False}}]
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"report": stage}}))
    project.git(folder, "add", "--all")
    project.git(folder, *project.COMMIT)
    return folder


HOOK = f"""#!/bin/sh
exec {sys.executable} -m tools.demo "$HOME/demo"
"""
SETTINGS = """
[core]
	excludesFile = {home}/excludes
	hooksPath = {home}/hooks
[commit]
	gpgsign = true
[gpg]
	program = false
[user]
	name = A User
	email = user@example.org
"""


def test_a_demo_within_a_hook_leaves_the_users_branch_alone(quick, tmp_path):
    """In a linked worktree Git tells hooks where it is; and the user's settings are not ours."""
    home = tmp_path / "home"
    (home / "hooks").mkdir(parents=True)
    (home / ".gitconfig").write_text(SETTINGS.format(home=home))
    (home / "excludes").write_text("*.csv\n*.html\n")
    (home / ".config/git").mkdir(parents=True)
    (home / ".config/git/ignore").write_text("*.npz\n")  # Git's own place for it
    (home / "hooks/pre-commit").write_text(HOOK)
    (home / "hooks/pre-commit").chmod(0o755)
    project.git(quick, "worktree", "add", "--quiet", "../linked")
    (tmp_path / "linked/README.md").write_text("changed")
    command = "git -c commit.gpgsign=false commit --quiet --all --message changed"
    subprocess.run(
        command.split(),
        cwd=tmp_path / "linked",
        env={**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config")},
        check=True,
    )
    assert git_output(tmp_path / "linked", "show", "--format=%an", "--name-only").split() == [
        *("A", "User", "README.md"),
    ]
    assert git_output(tmp_path / "linked", "status", "--porcelain") == ""
    assert git_output(home / "demo", "log", "--format=%s") == "The run of demo.yaml\n"
    committed = git_output(home / "demo", "ls-files").splitlines()
    sample = {f"data/sample/{name}" for name in ("train.csv", "fashion_mnist.npz")}
    assert {"plots/report.html", *sample} <= set(committed)


def test_other_params_use_the_projects_own_cache(quick, tmp_path):
    """And every file of its working tree, whatever its name."""
    shutil.copy(project.ROOT / "demo.yaml", tmp_path / "mine.yaml")
    with suppress(OSError):  # macOS has no such names
        (quick / os.fsdecode(b"no text \xff")).touch()
    done = demo(quick, str(tmp_path / "copy"), "--params", str(tmp_path / "mine.yaml"))
    assert done.returncode == 0, done.stderr
    printed = project.dvc(tmp_path / "copy", "cache", "dir", capture_output=True, text=True).stdout
    assert printed == f"{quick}/.dvc/cache\n"


def test_the_demo_overwrites_no_folder(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    done = demo(project.ROOT, str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("kind", ["no repository", "another's", "no Git"])
def test_where_git_cannot_help_the_demo_says_so_in_one_line(quick, tmp_path, kind):
    variables = {"GIT_CEILING_DIRECTORIES": str(tmp_path)}
    if kind == "no repository":
        shutil.rmtree(quick / ".git")
        wanted = "not a git repository"
    elif kind == "another's":
        variables["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = "1"  # Git's own tests use it
        wanted = "git config --global --add safe.directory"
    else:
        variables["PATH"] = str(tmp_path)
        wanted = "Git is not installed"
    done = demo(quick, str(tmp_path / "demo"), **variables)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("demo: error: ")
    assert wanted in done.stderr
    assert done.stderr.count("\n") == 1
