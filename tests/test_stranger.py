"""A stranger's machine: other names of folders, no locale, Git as on Windows, and hardly a program.

The long tests run in a root that has only Python, Git, make and what those call, as a user who may
write to a home alone; with the virtual environment at work: run pytest from that of another Python.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import certifi
import pytest

from tests import project
from tests.helpers import contents
from tests.project import ROOT
from tests.repro import ran, repro

pytestmark = pytest.mark.stranger
ODD = "Zoë's Möbel, 服"
VENV = Path(sys.prefix).resolve()
# make calls sh, rm and touch; a test has bash read the commands of the docs.
PROGRAMS = ("bash", "git", "make", "rm", "sh", "touch")
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
DEVICES = ("null", "urandom", "zero")
AS_ROOT = ["unshare", "--user", "--map-root-user", "--mount"]
AS_USER = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
# From `root`, the folder `home` and a list of folders that are shown in it, where they are outside.
SCRIPT = f"""
set -eu
root=$1 home=$2 shown=$3
shift 3
mount --bind "$root" "$root"
echo "$shown" | while read -r each; do
    mount --bind "$each" "$root$each"
    mount -o remount,bind,ro "$root$each"
done
mount --rbind /proc "$root/proc"
for each in {" ".join(DEVICES)}; do mount --bind "/dev/$each" "$root/dev/$each"; done
for each in dev/shm tmp var/tmp; do mount -t tmpfs tmpfs "$root/$each"; done
mount --bind "$home" "$root/home"
mount -o remount,bind,ro "$root"
exec {" ".join(AS_USER)} --root="$root" --wd="/home/$1" sh -c "$2"
"""


def test_a_path_with_blanks_and_letters_beyond_ascii_without_a_locale(tmp_path, monkeypatch):
    for key in [key for key in os.environ if key.startswith("LC_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("LANG", "C")
    project.copy_project(tmp_path / ODD)
    project.set_params(tmp_path / ODD, {"data.source": "sample"})
    assert ran(repro(tmp_path / ODD, "encode")) == ["ingest", "clean", "encode"]
    assert repro(tmp_path / ODD, "encode").endswith("Data and pipelines are up to date.\n")


def clone(folder: Path, home: Path) -> None:
    """What is committed, as a clone for the user of `home` gets it."""
    command = ["git", "clone", "--quiet", str(ROOT), str(folder)]
    subprocess.run(command, check=True, env=os.environ | {"HOME": str(home)})


def test_git_turns_no_line_ends(tmp_path):
    homes = [tmp_path / "turning", tmp_path / "not"]
    for home in homes:
        home.mkdir()
    (homes[0] / ".gitconfig").write_text("[core]\n\tautocrlf = true\n")
    for home in homes:
        clone(home / "clone", home)
        shutil.rmtree(home / "clone/.git")
    turning, plain = (contents(home / "clone") for home in homes)
    assert turning == plain


def shown() -> list[Path]:
    """The folders of libraries, of the virtual environment and of its Python."""
    python = (VENV / "bin/python").resolve().parent.parent
    folders = [*map(Path, LIBRARIES), VENV, python / "bin", python / "lib"]
    return [path for path in dict.fromkeys(folders) if path.is_dir() and not path.is_symlink()]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root in which there are few programs, and where the rest is going to be shown."""
    try:
        subprocess.run([*AS_ROOT, *AS_USER, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs a root of its own, which this system does not give: {error}")
    root = tmp_path / "root"
    for name in ("dev/shm", "home", "proc", "tmp", "usr/bin", "var/tmp"):
        (root / name).mkdir(parents=True)
    for name in DEVICES:
        (root / "dev" / name).touch()
    # DVC asks for the user's name and for certificates, and ends where there are none.
    (root / "etc/ssl/certs").mkdir(parents=True)
    shutil.copy(certifi.where(), root / "etc/ssl/certs/ca-certificates.crt")
    (root / "etc/passwd").write_text("stranger:x:1000:1000::/home:/bin/sh\n")
    for name in PROGRAMS:
        shutil.copy(shutil.which(name), root / "usr/bin" / name)
    (root / "bin").symlink_to("usr/bin")
    for path in map(Path, LIBRARIES):
        if path.is_symlink():
            (root / path.relative_to("/")).symlink_to(path.readlink())
    for path in shown():
        (root / path.relative_to("/")).mkdir(parents=True, exist_ok=True)
    return root


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("! gcc --version && ! touch /usr/here && ! touch /here && touch here && echo ok", "ok"),
        (".venv/bin/python -m tools.predict docs/ankle_boot.png", ": Ankle boot "),
        ("make -o .venv/.ready demo", "plots/report.html"),  # to set itself up it needs the network
        (".venv/bin/python -m pytest -m 'not slow and not long'", " passed"),
    ],
)
def test_a_strangers_machine(root, tmp_path, command, said):
    """In the home of somebody whose Git turns line ends, in a clone that is set up."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[core]\n\tautocrlf = true\n")
    clone(home / ODD, home)
    (home / ODD / ".venv").symlink_to(VENV)
    done = subprocess.run(
        [
            *AS_ROOT,
            "sh",
            "-c",
            SCRIPT,
            "sh",
            root,
            home,
            "\n".join(map(str, shown())),
            ODD,
            command,
        ],
        env={"PATH": "/usr/bin:/bin", "HOME": "/home", "LANG": "C"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert said in done.stdout
