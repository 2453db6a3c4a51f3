"""A full disk or a read-only folder: nothing is lost, and the next run goes on.

On a small file system in memory of the test's own, which Linux lets a user have in a namespace.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages import clean, encode, ingest
from stages.base.files import write_yaml
from stages.sources import sample
from tests.helpers import contents, run_stage
from tests.project import ROOT, make_small, set_params

pytestmark = pytest.mark.room
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
    make_small(folder)
    quick = {"units": 16, "learning_rate": 0.01, "epochs": 2}
    set_params(folder, {f"lenet.study.{name}": value for name, value in quick.items()})
    write_yaml(folder / "metrics/hyperparameters.yaml", {})
    (folder / sample.PATH).parent.mkdir(parents=True)
    (folder / sample.PATH).write_bytes((ROOT / sample.PATH).read_bytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (ingest, clean, encode):
            stage.main()
    return folder


def run_there(
    before: Path, folder: Path, stage: str, what: str, room: int
) -> subprocess.CompletedProcess:
    """Run a stage in a copy of `before` that is `what`, and copy what it left to `folder`/after.

    Args:
        what: `full`, but for `room` bytes, or `read-only`.
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


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize(
    ("stage", "what"),
    [("ingest", "full"), ("clean", "full"), ("encode", "full"), ("ingest", "read-only")],
)
def test_the_old_outputs_stay_and_with_room_the_stage_writes_the_same(
    before, tmp_path, stage, what
):
    """A full disk ends it in the first array."""
    assert run_there(before, tmp_path, stage, what, room=200_000).returncode != 0
    assert contents(tmp_path / "after") == contents(before)
    assert run_stage(tmp_path / "after", stage).returncode == 0
    assert contents(tmp_path / "after") == contents(before)


@pytest.mark.long
@pytest.mark.usefixtures("namespaces")
def test_a_disk_that_fills_up_in_a_training(before, tmp_path):
    full = run_there(before, tmp_path, "cv_lenet study 1", "full", room=150_000)
    assert full.returncode != 0
    assert not (tmp_path / "after/models").exists()
    again = run_stage(tmp_path / "after", "cv_lenet", "study", "1")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "after/models/lenet/study-1/model.keras").exists()
