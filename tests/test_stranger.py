"""A stranger's machine: other names of folders, no locale, Git as on Windows, and hardly a program.

The long tests run the demo and the quick tests in a root that has only Python, Git, make and what
those call, as a user who may write to a home alone. They run once for each Python that there is a
virtual environment of: the one at work, and for another version, such as 3.12, what this makes:

    python3.12 -m venv .work/python3.12
    .work/python3.12/bin/pip install --requirement requirements.lock
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

ODD = "Zoë's Möbel, 服"
PYTHONS = ("3.11", "3.12", "3.13")
# make calls sh, rm and touch; a test has bash read the commands of the docs.
PROGRAMS = ("bash", "git", "make", "rm", "sh", "touch")
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
# To set itself up it needs the network: here it has what stands in place of `.venv`.
MAKE = "make -o .venv/.ready"
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


def without_locale() -> dict[str, str]:
    found = {key: value for key, value in os.environ.items() if not key.startswith("LC_")}
    return found | {"LANG": "C"}


def test_a_path_with_blanks_and_letters_beyond_ascii_without_a_locale(tmp_path, monkeypatch):
    for key in os.environ.keys() - without_locale().keys():
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


@pytest.fixture(params=PYTHONS)
def environment(request: pytest.FixtureRequest) -> Path:
    """A virtual environment of that Python with what is locked; without one: skip."""
    if request.param == f"{sys.version_info.major}.{sys.version_info.minor}":
        return Path(sys.prefix).resolve()
    folder = f".work/python{request.param}"
    if not (ROOT / folder / "bin/python").exists():
        pytest.skip(f"needs {folder}, a virtual environment")
    return (ROOT / folder).resolve()


@pytest.fixture
def bare_root(tmp_path: Path, environment: Path) -> Path:
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
    for path in shown(environment):
        (root / path.relative_to("/")).mkdir(parents=True, exist_ok=True)
    return root


def shown(environment: Path) -> list[Path]:
    """The folders of libraries, of the virtual environment and of its Python."""
    python = (environment / "bin/python").resolve().parent.parent
    folders = [*map(Path, LIBRARIES), environment, python / "bin", python / "lib"]
    return [path for path in dict.fromkeys(folders) if path.is_dir() and not path.is_symlink()]


@pytest.fixture
def home(tmp_path: Path, environment: Path) -> Path:
    """The home of somebody whose Git turns line ends, with a clone that is set up."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text("[core]\n\tautocrlf = true\n")
    clone(home / ODD, home)
    (home / ODD / ".venv").symlink_to(environment)
    return home


def run_there(root: Path, home: Path, environment: Path, command: str) -> str:
    """What the command prints in the clone; it must end well."""
    folders = "\n".join(map(str, shown(environment)))
    done = subprocess.run(
        [*AS_ROOT, "sh", "-c", SCRIPT, "sh", root, home, folders, ODD, command],
        env={"PATH": "/usr/bin:/bin", "HOME": "/home", "LANG": "C"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.long
def test_the_root_is_bare_and_only_the_home_may_be_written_to(bare_root, home, environment):
    for command in ("gcc --version", "curl --version", "touch /usr/here", "touch /here"):
        assert run_there(bare_root, home, environment, f"! {command}")
    run_there(bare_root, home, environment, "touch here")


@pytest.mark.long
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"{MAKE} predict IMAGE=docs/ankle_boot.png", "docs/ankle_boot.png: Ankle boot 100.0 %"),
        (f"{MAKE} demo", f"The report is /home/{ODD}/.work/demo/plots/report.html"),
        (f"{MAKE} test-fast", " passed"),
    ],
)
def test_a_strangers_machine(bare_root, home, environment, command, said):
    assert said in run_there(bare_root, home, environment, command)
