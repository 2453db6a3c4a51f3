"""What several test files need to make inputs, to run a stage and to look at what it wrote."""

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from stages.base.files import write_json
from stages.base.images import ImageSet
from stages.cli import InputError
from stages.sources import csv_images, fashion_mnist
from tests.project import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
VOID = {"meta", "link", "img", "br", "hr", "input"}


def random_image_set(
    rows: int, seed: int = 0, classes: tuple[str, ...] = fashion_mnist.CLASSES
) -> ImageSet:
    """`rows` random images, whose labels are those of the classes in turn."""
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, 28, 28), dtype=np.uint8)
    return ImageSet(pixels, (np.arange(rows) % len(classes)).astype(np.uint8), classes)


def write_encoded(folder: Path, x: np.ndarray, y: np.ndarray, classes: list[str]) -> None:
    """As `encode` does: images x (n, 28, 28, 1), one-hot labels y (n, classes)."""
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", x)
    np.save(folder / "labels.npy", y)
    write_json(folder / "classes.json", classes)


def as_frame(image_set: ImageSet) -> pd.DataFrame:
    return pd.DataFrame(image_set.table(), columns=csv_images.COLUMNS)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under `folder`, by its path from there."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@contextmanager
def traced_memory() -> Iterator[SimpleNamespace]:
    """After the block, `peak` is the most bytes that Python and NumPy took in it at any time."""
    found = SimpleNamespace(peak=0)
    tracemalloc.start()
    try:
        yield found
        found.peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@contextmanager
def heeded(sent: signal.Signals) -> Iterator[None]:
    """A process that the block starts ends by `sent`, unless it does something of its own.

    Where these tests run in the background, signals may be ignored, and processes inherit that.
    """
    before = signal.signal(sent, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(sent, before)


def run_python(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run this Python with the project's code in `folder`, which needs to hold none."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def run_stage(folder: Path, stage: str, *arguments: str) -> subprocess.CompletedProcess:
    return run_python(folder, "-m", f"stages.{stage}", *arguments)


def fenced(page: str) -> list[tuple[str, str]]:
    """A page's blocks of code, each with its language before it."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(r"^ *```(\S*)\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    return [(language, textwrap.dedent(code)) for language, code in found]


def message_of(refusing: Callable, *arguments: object) -> str:
    """The text of the `InputError` that the call must raise, which must be one line."""
    with pytest.raises(InputError) as caught:
        refusing(*arguments)
    message = str(caught.value)
    assert message
    assert "\n" not in message
    return message


class Reader(HTMLParser):
    """Notes what is open, the attributes of every tag, and the text of every cell."""

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.cells: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"line {self.getpos()[0]}"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            self.cells[-1] += data
