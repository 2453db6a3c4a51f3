"""`stages/base/files.py`: of a folder that is written anew, the old one or the new is there."""

import signal
from contextlib import suppress
from pathlib import Path

import pytest

from stages.base.files import atomic_folder
from tests.helpers import contents, run_python

OLD, NEW = {"a": b"old", "b": b"old"}, {"a": b"new"}
# The process kills itself before or after it moves a folder for the given time.
KILLED = """
import os, signal, sys
from stages.base.files import atomic_folder

moment, number = sys.argv[1], int(sys.argv[2])

def killing(rename):
    def renamed(*arguments, **options):
        global number
        number -= 1
        if number == 0 and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        rename(*arguments, **options)
        if number == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return renamed

os.rename, os.replace = killing(os.rename), killing(os.replace)
with atomic_folder("out") as folder:
    (folder / "a").write_text("new")
"""


@pytest.fixture(autouse=True)
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder `out` with its old contents, in a folder that is entered."""
    monkeypatch.chdir(tmp_path)
    Path("out").mkdir()
    for name, content in OLD.items():
        Path("out", name).write_bytes(content)


def write() -> None:
    with atomic_folder("out") as folder:
        assert not list(folder.iterdir())
        (folder / "a").write_bytes(NEW["a"])


def fail() -> None:
    with suppress(ZeroDivisionError), atomic_folder("out") as folder:
        (folder / "a").write_bytes(b"half")
        raise ZeroDivisionError


@pytest.mark.parametrize("number", [1, 2], ids=["the old one", "the new one"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_while_folders_are_moved_loses_neither(tmp_path, moment, number):
    ended = run_python(tmp_path, "-c", KILLED, moment, str(number))
    assert ended.returncode == -signal.SIGKILL
    fail()
    is_new = (moment, number) == ("after", 2)
    assert contents(Path("out")) == (NEW if is_new else OLD)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    write()
    assert contents(Path("out")) == NEW
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
