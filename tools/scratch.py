"""Copies of the project in other folders, and Git and DVC in them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from stages.cli import InputError

ROOT = Path(__file__).parent.parent
WRITTEN_BY_STAGES = ("dvc.lock", "metrics/", "plots/", "models/exported/", "models/cards/")
NOT_BY_STAGES = ("metrics/ablation.csv", "metrics/full_run.yaml")
# With these Git tells its hooks where the repository is.
LOCATION = ("GIT_DIR", "GIT_COMMON_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
NAME, EMAIL = "demo", "demo@localhost"


def environment() -> dict[str, str]:
    """The environment for Git and DVC in another folder.

    It is the user's without Git's variables, which may name another repository, ignore files, sign
    commits and run hooks. This interpreter's programs come first on the path.
    """
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": NAME,
        "GIT_AUTHOR_EMAIL": EMAIL,
        "GIT_COMMITTER_NAME": NAME,
        "GIT_COMMITTER_EMAIL": EMAIL,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }


def git(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess:
    """Run Git in `folder`; `options` are those of `subprocess.run`."""
    options = {"check": True, "env": environment(), **options}
    return subprocess.run(["git", *arguments], cwd=folder, **options)


def dvc(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess:
    """Run DVC in `folder`; `options` are those of `subprocess.run`."""
    options = {"check": True, "env": environment(), **options}
    return subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, **options)


def project_files() -> list[str]:
    """The files that Git has of the project, or would have after `git add`.

    Raises:
        InputError: Git is not installed or refuses.
    """
    # With the user's settings, which may call another user's repository safe.
    inside = {name: value for name, value in os.environ.items() if name not in LOCATION}
    listing = ("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    options = {"env": inside, "check": False, "capture_output": True, "errors": "surrogateescape"}
    try:
        done = git(ROOT, *listing, **options)
    except FileNotFoundError:
        raise InputError("Git is not installed; the copy needs it") from None
    if done.returncode or not done.stdout:
        said = " ".join(done.stderr.split()) or "the folder is ignored by the repository around it"
        raise InputError(
            f"Git lists no files of the project: {said} (after a download without a clone, "
            "`git init && git add .` makes a repository)"
        )
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def copy_project(folder: Path, results: bool = False) -> None:
    """Make `folder` a fresh repository of the project, without a commit, on the branch `main`.

    Args:
        results: with those outputs of the stages that are in Git.
    """
    for name in project_files():
        if results or name in NOT_BY_STAGES or not name.startswith(WRITTEN_BY_STAGES):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "core.excludesFile", os.devnull)  # not ~/.config/git/ignore either
    # Not a cache that the user's own configuration shares among projects.
    dvc(folder, "cache", "dir", "--quiet", "--local", ".dvc/cache")
