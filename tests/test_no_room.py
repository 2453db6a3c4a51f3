"""A full disk, a folder that is read-only, too little memory: one line, and all as it was before.

On a small file system in memory of the test's own, which Linux lets a user have in a namespace.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from stages import clean, cli, encode, ingest
from stages.base.files import write_yaml
from stages.sources import sample
from stages.training.keras_setup import keras
from tests.helpers import contents, random_image_set
from tests.project import ROOT, copy_project, set_params
from tests.repro import from_run_cache, ran, repro

STAGES = ["ingest", "clean", "encode"]
ONE_IN_SHORT = [pytest.param(name, marks=pytest.mark.long) for name in STAGES[:2]] + ["encode"]
OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]
# The copy of a project is made full or read-only, a stage runs in it, and the copy is copied back.
SCRIPT = """
set -eu
mount -t tmpfs -o size=24m tmpfs "$1"
cd "$1"
cp -R "$2/." .
case $4 in
    full) head -c "$5" /dev/zero > room; cat /dev/zero > filler 2> /dev/null || rm room ;;
    read-only) mount -o remount,ro "$1" && cd "$1" ;;
esac
python=$6 stage=$7 status=0
"$python" -m stages.$stage || status=$? # the name, and perhaps arguments
rm -f filler 2> /dev/null || true
cp -R . "$3"
exit $status
"""
LIMITED = """
import importlib, resource, runpy, sys
module, more = sys.argv.pop(1), int(sys.argv.pop(1))
importlib.import_module(module)
with open("/proc/self/statm") as file:
    most = int(file.read().split()[0]) * resource.getpagesize() + more
resource.setrlimit(resource.RLIMIT_AS, (most, most))
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="session")
def namespaces(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where this user may not mount anything, not even in a namespace of its own."""
    mount = ["sh", "-c", 'mount -t tmpfs tmpfs "$0"', str(tmp_path_factory.mktemp("mount"))]
    try:
        subprocess.run([*OWN_MOUNTS, *mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs a file system of its own, which this system does not give: {error}")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the light stages ran on the sample."""
    folder = tmp_path_factory.mktemp("before")
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    quick = {"lenet.study.units": 16, "lenet.study.learning_rate": 0.01}
    set_params(folder, {"data.source": "sample"} | quick)
    write_yaml(folder / "metrics/hyperparameters.yaml", {})
    (folder / sample.PATH).parent.mkdir(parents=True)
    (folder / sample.PATH).write_bytes((ROOT / sample.PATH).read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (ingest, clean, encode):
            stage.main()
    return folder


def run_there(
    before: Path, folder: Path, stage: str, what: str, room: int = 0
) -> subprocess.CompletedProcess:
    """Run a stage in a copy of `before` that is `what`, and copy what it left to `folder`/after.

    Args:
        what: `full` but for `room` bytes, or `read-only`.
    """
    (folder / "mount").mkdir()
    (folder / "after").mkdir()
    names = [folder / "mount", before, folder / "after", what, room, sys.executable, stage]
    return subprocess.run(
        [*OWN_MOUNTS, "sh", "-c", SCRIPT, "sh", *map(str, names)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def assert_one_line(finished: subprocess.CompletedProcess, stage: str) -> str:
    assert finished.returncode == 1, finished.stderr
    (line,) = finished.stderr.splitlines()
    assert line.startswith(f"{stage}: error: ")
    return line


JOIN = """
import sys
from pathlib import Path
from stages import features
features.join([Path(sys.argv[1])], 1_000, Path(sys.argv[2]) / "features.npy", "float32")
"""
ON_A_MEGABYTE = """
mount -t tmpfs -o size=1m tmpfs "$4" && exec "$1" -c "$2" "$3" "$4"
"""


@pytest.mark.long
@pytest.mark.usefixtures("namespaces")
def test_a_disk_that_fills_up_while_features_are_joined(tmp_path):
    """It is an error that the stage can tell, not a signal that ends it."""
    (tmp_path / "mount").mkdir()
    np.save(tmp_path / "part.npy", np.zeros((1_000, 1_000), np.float32))
    names = [sys.executable, JOIN, tmp_path / "part.npy", tmp_path / "mount"]
    finished = subprocess.run(
        [*OWN_MOUNTS, "sh", "-c", ON_A_MEGABYTE, "sh", *names],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    assert finished.stderr.endswith("OSError: [Errno 28] No space left on device\n")


# Without a byte no file gets any content; with 200,000 the first array ends in its middle.
@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("room", [pytest.param(0, marks=pytest.mark.long), 200_000])
@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk(before, tmp_path, stage, room):
    finished = run_there(before, tmp_path, stage, "full", room)
    line = assert_one_line(finished, stage)
    assert line.endswith("; make room, and run again")
    assert "cannot be written" in line
    assert contents(tmp_path / "after") == contents(before)


@pytest.mark.long
@pytest.mark.usefixtures("namespaces")
def test_a_disk_that_fills_up_in_a_training(before, tmp_path):
    """HDF5, which writes the weights, tells it in words of its own."""
    finished = run_there(before, tmp_path, "cv_lenet study 1", "full", room=150_000)
    *before_it, line = finished.stderr.splitlines()
    assert line.startswith("cv_lenet: error: ")
    assert "No space left on device" in line
    assert finished.returncode == 1
    assert "stages/" not in "".join(before_it), "h5py has a word of its own, but no traceback"
    assert not (tmp_path / "after/models").exists()


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("stage", ONE_IN_SHORT)
def test_a_read_only_folder(before, tmp_path, stage):
    line = assert_one_line(run_there(before, tmp_path, stage, "read-only"), stage)
    assert "may not be used (Read-only file system); change that, or work in another" in line
    assert contents(tmp_path / "after") == contents(before)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to RLIMIT_AS")
@pytest.mark.parametrize(
    ("stage", "more", "what"),
    [
        pytest.param("clean", 8, "[Errno 12] Cannot allocate memory", marks=pytest.mark.long),
        pytest.param("clean", 24, "Unable to allocate 15.0 MiB", marks=pytest.mark.long),
        ("encode", 24, "Unable to allocate 59.8 MiB"),
    ],
)
def test_too_little_memory(before, tmp_path, stage, more, what):
    """For 20,000 images of 16 MB. `clean` makes a table of them, `encode` numbers of four bytes.

    Args:
        more: MB that the stage gets beyond what importing it took.
    """
    (tmp_path / "params.yaml").write_bytes((before / "params.yaml").read_bytes())
    for folder in ("data/raw", "data/clean"):
        (tmp_path / folder).mkdir(parents=True)
        for split, rows in (("train", 20_000), ("test", 10)):
            random_image_set(rows).save(tmp_path / folder, split)
    former = contents(tmp_path)
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LIMITED, f"stages.{stage}", str(more * 2**20)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    line = assert_one_line(finished, stage)
    assert f"not enough memory ({what}" in line
    assert line.endswith("; end other programs, or take a machine that has more")
    assert contents(tmp_path) == former


@pytest.mark.long
def test_a_tensor_that_finds_no_memory():
    """A petabyte: more than a process can name. TensorFlow tries for ten seconds."""
    with pytest.raises(Exception, match=r"(?i)memory|OOM") as caught:
        keras.ops.convert_to_numpy(keras.ops.zeros((2**24, 2**24)))
    assert cli._message(caught.value).startswith("not enough memory (")


# Linux has two generations of control groups, and a container may have none that it may write to.
GROUPS = {
    "/sys/fs/cgroup/memory": ("memory.limit_in_bytes", "memory.swappiness"),
    "/sys/fs/cgroup": ("memory.max", "memory.swap.max"),
}


@pytest.fixture
def group_of_70_mb() -> Iterator[Path]:
    """A control group in which Linux kills what takes more memory; where none may be made: skip."""
    for parent, (limit, swap) in GROUPS.items():
        group = Path(parent, f"fashion-mnist-{os.getpid()}")
        with suppress(OSError):
            group.mkdir()
        try:
            if (group / limit).exists():
                (group / limit).write_text(str(70 * 10**6))
                (group / swap).write_text("0")
                yield group
                return
        finally:
            if group.exists():
                group.rmdir()
    pytest.skip("needs a control group of its own, which this system does not give")


def test_the_system_kills_for_memory_and_nothing_is_lost(before, tmp_path, group_of_70_mb):
    """Really so: what `encode` makes of 20,000 images takes 63 MB, beside 30 that it has."""
    (tmp_path / "params.yaml").write_bytes((before / "params.yaml").read_bytes())
    for split, rows in (("train", 20_000), ("test", 10)):
        (tmp_path / "data/clean").mkdir(parents=True, exist_ok=True)
        random_image_set(rows).save(tmp_path / "data/clean", split)
    former = contents(tmp_path)
    join = f'echo $$ > "{group_of_70_mb}/cgroup.procs"'
    run = f'exec "{sys.executable}" -W ignore -m stages.encode'
    settings = {"cwd": tmp_path, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    killed = subprocess.run(["sh", "-c", f"{join} && {run}"], check=False, **settings)
    assert killed.returncode == -signal.SIGKILL
    assert without_the_unfinished(tmp_path) == former
    subprocess.run(["sh", "-c", run], check=True, **settings)
    assert set(contents(tmp_path)) > set(former)
    assert not list(tmp_path.rglob(".unfinished-*"))


KILL = """
    with atomic_folder(OUTPUT) as folder:
        left.save(folder, "train")
"""
KILLED = f"{KILL}        import os; os.kill(os.getpid(), {int(signal.SIGKILL)})\n"


def without_the_unfinished(folder: Path) -> dict[str, bytes]:
    found = contents(folder).items()
    return {name: content for name, content in found if not name.startswith(".unfinished-")}


@pytest.mark.long
def test_a_stage_that_the_system_kills_is_named_and_nothing_is_lost(tmp_path):
    """As Linux does when memory ends. The stage cannot say so; DVC does."""
    copy_project(tmp_path / "project")
    project = tmp_path / "project"
    set_params(project, {"data.source": "sample"})
    repro(project, "clean")
    names = ("data", "metrics")
    before = [contents(project / name) for name in names]
    lock, script = project / "dvc.lock", project / "stages/clean.py"
    locked, whole = lock.read_bytes(), script.read_text()
    assert KILL in whole
    script.write_text(whole.replace(KILL, KILLED))
    printed = repro(project, "clean", fails=True)
    (line,) = (line for line in printed.splitlines() if line.startswith("ERROR"))
    assert line.endswith("failed to run: python -m stages.clean, exited with -9")
    assert lock.read_bytes() == locked
    assert (project / "data/.unfinished-clean").exists(), "it was in the middle"

    script.write_text(whole)
    assert from_run_cache(repro(project, "clean")) == ["clean"]
    assert [without_the_unfinished(project / name) for name in names] == before
    set_params(project, {"clean.duplicates": "keep"})
    assert ran(repro(project, "clean")) == ["clean"]
    assert [contents(project / name) for name in names] == before, "the sample repeats no row"
