"""Files whole or not at all: no reader sees half of one, and a damaged one is told from a whole."""

import json
import os
import shutil
import zipfile
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
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        yield unfinished
        if path.exists():
            shutil.rmtree(path)
        os.replace(unfinished, path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def load_array(path: Path | str) -> np.ndarray:
    """Memory-map the `.npy` file at `path`.

    Raises:
        InputError: it is not there, or damaged.
    """
    with _readable(path):
        return np.load(path, mmap_mode="r", allow_pickle=False)


def load_arrays(path: Path | str) -> dict[str, np.ndarray]:
    """Read the arrays of the `.npz` file at `path`, by name.

    Raises:
        InputError: it is not there, or damaged.
    """
    with _readable(path), np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


@contextmanager
def _readable(path: Path | str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path} is missing; `dvc repro` runs the stage that writes it") from None
    except (ValueError, EOFError, zipfile.BadZipFile, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path} is damaged ({reason}); delete it, and `dvc checkout` or `dvc repro` brings it"
        ) from None


def write_json(path: Path | str, content: dict[str, Any]) -> None:
    """Write `content` with sorted keys, so that a diff shows only what changed."""
    with atomic_file(path) as unfinished:
        unfinished.write_text(
            json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8"
        )


def read_json(path: Path | str) -> dict[str, Any]:
    """Read the JSON file at `path`.

    Raises:
        InputError: it is not there, or damaged.
    """
    with _readable(path):
        return json.loads(Path(path).read_text(encoding="utf-8"))


def write_yaml(path: Path | str, content: dict[str, Any]) -> None:
    with atomic_file(path) as unfinished:
        unfinished.write_text(yaml.safe_dump(content, sort_keys=True), encoding="utf-8")


def read_yaml(path: Path | str) -> dict[str, Any]:
    """Read the YAML file at `path`.

    Raises:
        InputError: it is not there, or damaged.
    """
    with _readable(path):
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
