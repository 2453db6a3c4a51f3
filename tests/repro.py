"""Running `dvc repro`, and what it says of the stages."""

import re
import subprocess
import sys
from pathlib import Path

from tests import project


def repro(folder: Path, *arguments: str, fails: bool = False) -> str:
    """All that `dvc repro` prints; it must end well, or else with an error if it `fails`."""
    done = project.dvc(
        folder,
        "repro",
        *arguments,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout


def begin(folder: Path, *module: str, **variables: str) -> subprocess.Popen:
    """Start `python -m MODULE ...` in a process group of its own, to be killed as a whole."""
    return subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=folder,
        env={**project.environment(), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ran(output: str) -> list[str]:
    return re.findall(r"^Running stage '(.*)'", output, re.MULTILINE)


def kind(stage: str) -> str:
    """`resnet`, say, of `resnet@study`."""
    return stage.partition("@")[0]


def from_run_cache(output: str) -> list[str]:
    """The stages that DVC did not run again; in a `--dry` run it names others too."""
    return re.findall(r"^Stage '(.*)' is cached - skipping run", output, re.MULTILINE)
