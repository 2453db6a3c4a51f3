"""The tests' own copies of the project, their params, and Git and DVC in them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent
WRITTEN_BY_STAGES = ("dvc.lock", "metrics/", "plots/", "models/exported/", "models/cards/")
# Whoever has told Git no name, or signs commits, or has hooks, gets the demo's commit all the same.
COMMIT = [
    *("-c", "user.name=demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false"),
    *("commit", "--quiet", "--no-verify", "--message", "The demo's run"),
]
# What the demo keeps of the sections that hold recipes.
KEPT = {
    "lenet": ["study"],
    "features": ["resnet50-study", "vgg16-study"],
    "resnet": ["study"],
    "vgg": ["study"],
}
CHANGES = {
    "data.source": "sample",
    "tune.units": {"min": 32, "max": 256, "step": 8},
    "tune.learning_rate": [0.001, 0.0001],
    "tune.batch_size": 32,
    "tune.max_epochs": 2,
    "tune.factor": 2,
    "cv.folds": [1, 2],
    "lenet.study.epochs": 12,
    "lenet.study.batch_size": 16,
    "backbone.resnet50.weights": "random",
    "backbone.resnet50.layer": "conv2_block3_out",
    "backbone.vgg16.weights": "random",
    "backbone.vgg16.layer": "block3_pool",
    "features.resnet50-study.input_size": 32,
    "features.vgg16-study.input_size": 32,
    "resnet.study.epochs": 2,
    "vgg.study.epochs": 2,
    "vgg.study.dense_units": 256,
}


def copy_project(folder: Path, results: bool = False) -> None:
    """Make `folder` a fresh repository of the project, without a commit, on the branch `main`.

    Args:
        results: with what stages wrote, as far as it is in Git.
    """
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file() and (results or not name.startswith(WRITTEN_BY_STAGES)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git(folder, "init", "--quiet", "--initial-branch=main")
    # Not a cache that the user's own configuration shares among projects.
    dvc(folder, "cache", "dir", "--quiet", "--local", ".dvc/cache")


def keep_the_study(folder: Path) -> None:
    """Take all recipes but the study's, and a data set of one's own, out of the params."""
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    for section, names in KEPT.items():
        params[section] = {name: params[section][name] for name in names}
    for key in ("idx", "classes"):
        params["data"].pop(key, None)
    params["export"]["recipe"] = "study"
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def make_small(folder: Path) -> None:
    """Give the project in `folder` the demo's params."""
    keep_the_study(folder)
    set_params(folder, CHANGES)


def set_params(folder: Path, changes: dict[str, Any]) -> None:
    """Change params of the project in `folder`, by their dotted name."""
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, value in changes.items():
        section = params
        *parents, key = name.split(".")
        for parent in parents:
            section = section[parent]
        section[key] = value
    path.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True)


def dvc(
    folder: Path,
    *arguments: str,
    check: bool = True,
    more: dict[str, str] | None = None,
    **options: Any,
) -> subprocess.CompletedProcess:
    """Run DVC in `folder` with this interpreter's own programs first on the path.

    Args:
        more: environment variables.
        options: of `subprocess.run`.
    """
    environment = {
        **os.environ,
        **(more or {}),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
    }
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, check=check, **options)
