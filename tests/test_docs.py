"""The pages: what they name is there, and their transcripts, run in order from where they start."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.cli.parser import get_main_parser

from stages import params
from stages.cli import InputError
from tests.conftest import copy_with_cache
from tests.imports import ROOT
from tests.repro import from_run_cache, ran
from tools import demo

# The pages whose transcripts are run, in this order.
PAGES = ["README.md", "docs/experiments.md"]
# Their commands that are not run as they stand, and what sees to them.
ELSEWHERE = {
    r"git clone .*": "the fixture `outputs` does it",
    r"cd <.*>": "every page starts there",
    r"make demo": "the fixture `finished` ran it; its folder is copied to where a page goes on",
    r"make test.*": "is what runs this",
}
# DVC 3.67 reads commits with pygit2, of which 1.21 may stand still for ever: its
# `_BlobIO.readinto` can clear the event that it waits for next. Seen once, on a loaded machine.
LONGEST = {"diff": 120, "show": 120}


def markdown() -> list[str]:
    """Every page of the repository."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(listing, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return sorted(name for name in names.splitlines() if (ROOT / name).is_file())


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[tuple[str, str]]:
    """What a page has in fences: the kind, and the text."""
    return re.findall(r"^```(\S*)[^\n]*\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)


def inline(page: str) -> list[str]:
    """What a page has in single backticks."""
    prose = re.sub(r"^```.*?^```$", "", read(page), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", prose)]


def transcript(page: str) -> list[tuple[str, str]]:
    """Commands and what the page shows of their output, from its `console` blocks."""
    text = "".join(text for kind, text in blocks(page) if kind == "console")
    steps = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    # A command goes on in the next line after a backslash.
    pairs = [re.fullmatch(r"((?:.*\\\n)*.*)\n(.*)", step, re.DOTALL) for step in steps]
    return [(pair[1].partition("\n")[0] if "\\\n" not in pair[1] else pair[1], pair[2]) for pair in pairs]
