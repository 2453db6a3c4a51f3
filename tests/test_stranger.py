"""A stranger's machine: other names of folders, no locale, Git as on Windows, and hardly a program.

The long tests use the virtual environment at work: run pytest from that of another Python.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import project
from tests.project import ROOT
from tests.repro import ran, repro

pytestmark = pytest.mark.stranger
ODD = "Zoë's Möbel, 服"
PROGRAMS = ("git", "make", "rm", "sh", "touch")


def test_a_path_with_blanks_and_letters_beyond_ascii_without_a_locale(tmp_path, monkeypatch):
    for key in [key for key in os.environ if key.startswith("LC_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("LANG", "C")
    project.copy_project(tmp_path / ODD)
    project.set_params(tmp_path / ODD, {"data.source": "sample"})
    assert ran(repro(tmp_path / ODD, "encode")) == ["ingest", "clean", "encode"]
    assert repro(tmp_path / ODD, "encode").endswith("Data and pipelines are up to date.\n")


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (".venv/bin/python -m tools.predict docs/ankle_boot.png", ": Ankle boot "),
        ("make -o .venv/.ready demo", "plots/report.html"),  # to set itself up it needs the network
    ],
)
def test_a_strangers_machine(tmp_path, command, said):
    """The user's Git turns line ends; only `PROGRAMS` are there, and no network."""
    home, programs = tmp_path / "home", tmp_path / "bin"
    home.mkdir()
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).symlink_to(shutil.which(name))
    (home / ".gitconfig").write_text("[core]\n\tautocrlf = true\n")
    clone = ["git", "clone", "--quiet", str(ROOT), str(home / ODD)]
    subprocess.run(clone, check=True, env=os.environ | {"HOME": str(home)})
    (home / ODD / ".venv").symlink_to(Path(sys.prefix).resolve())
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=home / ODD,
        env={"PATH": str(programs), "HOME": str(home), "LANG": "C", **project.NO_NETWORK},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert said in done.stdout
