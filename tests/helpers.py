"""What several test files need to make inputs, to run a stage and to look at what it wrote."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.common import table
from stages.common.command import InputError
from stages.common.images import ImageSet
from tests.imports import ROOT


def random_image_set(rows: int, seed: int = 0) -> ImageSet:
    """`rows` random images, whose labels are 0 to 9 in turn."""
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, 28, 28), dtype=np.uint8)
    return ImageSet(images=pixels, labels=np.arange(rows, dtype=np.uint8) % 10)


def as_frame(image_set: ImageSet) -> pd.DataFrame:
    return pd.DataFrame(image_set.table(), columns=table.COLUMNS)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under `folder`, by its path from there."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def run_stage(
    folder: Path, stage: str, *arguments: str, **environment: str
) -> subprocess.CompletedProcess:
    """Run `python -m stages.STAGE` in `folder`, which needs to hold no code."""
    return subprocess.run(
        [sys.executable, "-m", f"stages.{stage}", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def message_of(refusing: Callable, *arguments: object) -> str:
    """The text of the `InputError` that the call must raise, which must be one line."""
    with pytest.raises(InputError) as caught:
        refusing(*arguments)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message
