"""Files that appear whole or not at all, and how the pipeline reads what it wrote itself."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from stages.cli import InputError


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Yield a path to write to, which becomes `path` only if the block ends without an exception.

    The suffix stays the same, because Keras and matplotlib choose the format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".unfinished-{path.name}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path | str) -> Iterator[Path]:
    """Yield an empty folder, which becomes `path` only if the block ends without an exception."""
    path = Path(path)
    unfinished = path.with_name(f".unfinished-{path.name}")
    former = path.with_name(f".unfinished-{path.name}.former")
    _bring_back(former, path)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        if path.exists():
            # Aside, so that a kill from here on leaves one of the two. Some file systems, such as
            # those of containers, cannot rename every folder: then it is copied.
            shutil.move(path, former)
        os.replace(unfinished, path)
    finally:
        _bring_back(former, path)
        shutil.rmtree(unfinished, ignore_errors=True)


def _bring_back(former: Path, path: Path) -> None:
    """Undo that `path` was moved aside to `former`, unless there is a successor."""
    if former.exists() and not path.exists():
        os.replace(former, path)
    if former.is_symlink():
        former.unlink()
    shutil.rmtree(former, ignore_errors=True)


@contextmanager
def readable(path: Path | str) -> Iterator[None]:
    """The block reads `path`, a file that the pipeline wrote.

    Raises:
        InputError: it is not there.
    """
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path} is missing; `dvc repro` writes it") from None


def load_array(path: Path | str) -> np.ndarray:
    """Memory-map the `.npy` file at `path`."""
    with readable(path):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def load_arrays(path: Path | str) -> dict[str, np.ndarray]:
    """Read the arrays of the `.npz` file at `path`, by name."""
    with readable(path), np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def write_json(path: Path | str, content: Any) -> None:
    """Write `content` with sorted keys, so that a diff shows only what changed."""
    with atomic_file(path) as unfinished:
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
        unfinished.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path | str) -> Any:
    with readable(path):
        return json.loads(Path(path).read_text(encoding="utf-8"))


def write_yaml(path: Path | str, content: dict[str, Any]) -> None:
    with atomic_file(path) as unfinished:
        unfinished.write_text(yaml.safe_dump(content, sort_keys=True), encoding="utf-8")


def read_yaml(path: Path | str) -> dict[str, Any]:
    with readable(path):
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
