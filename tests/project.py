"""The tests' own copies of the project, their params, and Git and DVC in them."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from tools.scratch import ROOT, copy_project, dvc, environment, git

__all__ = ["COMMIT", "ROOT", "copy_project", "dvc", "environment", "git"]

# A proxy that is not there: whatever asked for the network would fail.
NO_NETWORK = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
COMMIT = ["commit", "--quiet", "--message", "A test's"]  # arguments of `git`


def git_output(folder: Path, *command: str) -> str:
    return git(folder, *command, capture_output=True, text=True).stdout


def read_params(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))


def write_params(folder: Path, params: dict[str, Any]) -> None:
    text = yaml.safe_dump(params, sort_keys=False)
    (folder / "params.yaml").write_text(text, encoding="utf-8")


def make_small(folder: Path) -> None:
    """Give the project in `folder` the demo's params."""
    shutil.copy(ROOT / "demo.yaml", folder / "params.yaml")


def set_params(folder: Path, changes: dict[str, Any]) -> None:
    """Change params of the project in `folder`, by their dotted name."""
    params = read_params(folder)
    for name, value in changes.items():
        section = params
        *parents, key = name.split(".")
        for parent in parents:
            section = section[parent]
        section[key] = value
    write_params(folder, params)
