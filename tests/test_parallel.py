"""Stages at once by Dask: the serial run's lock, whatever happens to a worker."""

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml

from tests import project
from tests.project import ROOT, copy_project, dvc, make_small
from tests.repro import begin, repro

pytest.importorskip("distributed", reason="`pip install '.[cluster]'` brings it")

pytestmark = pytest.mark.long

# Two chains that do not need each other, and a stage that needs both.
NEEDS = {"z": [], "b": ["z"], "a": [], "c": ["a"], "last": ["b", "c"]}
# `b` says at a port where it runs, and waits until that is closed, but not a second time.
STAGE = """
import os, pathlib, socket, sys
name, *needs = sys.argv[1:]
port = pathlib.Path("port")
if name == "b" and port.exists():
    number = int(port.read_text())
    port.unlink()
    with socket.create_connection(("127.0.0.1", number)) as connection:
        connection.send(str(os.getpid()).encode())
        connection.recv(1)
if name == "c" and "FAIL" in os.environ:
    sys.exit("no, not c")
text = name + "".join(pathlib.Path(need).read_text() for need in needs)
pathlib.Path(name).write_text(text)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository of five quick stages, with params that are valid."""
    folder = tmp_path / "project"
    folder.mkdir()
    make_small(folder)
    (folder / "stage.py").write_text(STAGE)
    stages = {
        name: {"cmd": f"python stage.py {name} {' '.join(needs)}", "deps": needs, "outs": [name]}
        for name, needs in NEEDS.items()
    }
    stages["b"]["meta"] = {"resources": {"GPU": 1}}
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    project.git(folder, "init", "--quiet")
    dvc(folder, "init", "--quiet")
    return folder


def start(folder: Path, *module: str, **variables: str) -> subprocess.Popen:
    return begin(folder, *module, PYTHONPATH=str(ROOT), **variables)


def parallel(folder: Path, *arguments: str, **variables: str) -> tuple[str, int]:
    """What the command prints, and its exit status."""
    run = start(folder, "tools.parallel", *arguments, **variables)
    printed, _ = run.communicate()
    return printed, run.returncode


def serial_lock(folder: Path) -> str:
    """The lock of `dvc repro`; that and the run cache are gone again."""
    repro(folder)
    lock = (folder / "dvc.lock").read_text()
    (folder / "dvc.lock").unlink()
    shutil.rmtree(folder / ".dvc/cache")
    return lock


@pytest.fixture
def cluster(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen]]]:
    """A scheduler's address, and two workers."""
    processes = [start(folder, "dask", "scheduler", "--port", "0", "--no-dashboard")]
    lines = (re.search(r"Scheduler at:\s+(tcp://\S+)", line) for line in processes[0].stdout)
    address = next(match[1] for match in lines if match)
    for _ in range(2):
        options = ("--no-nanny", "--nthreads", "1", "--resources", "GPU=1")
        processes.append(start(folder, "dask", "worker", address, *options))
    yield address, processes[1:]
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_stage_that_fails_stops_only_what_needs_it(folder):
    printed, status = parallel(folder, FAIL="")
    assert status == 1
    assert "no, not c" in printed.partition("parallel: error: c failed")[2]
    assert {name for name in NEEDS if (folder / name).exists()} == {"z", "b", "a"}


@pytest.mark.parametrize("alone", [False, True])
def test_a_worker_that_is_killed_is_survived(folder, cluster, alone):
    """By itself, so that its stage goes on for a while, or with its stage, as a machine is lost."""
    expected = serial_lock(folder)
    address, workers = cluster
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        (folder / "port").write_text(str(server.getsockname()[1]))
        run = start(folder, "tools.parallel", "--scheduler", address)
        connection, _ = server.accept()
    with connection:
        above = psutil.Process(int(connection.recv(20))).parents()
        pids = {process.pid for process in above}
        lost, other = sorted(workers, key=lambda worker: worker.pid not in pids)
        if alone:
            lost.kill()
            assert any("is busy, it is being blocked by" in line for line in other.stdout)
        else:
            os.killpg(lost.pid, signal.SIGKILL)
    printed, _ = run.communicate()
    assert run.returncode == 0, printed
    assert (folder / "dvc.lock").read_text() == expected


def test_the_demos_lock_is_that_of_a_serial_run(finished, tmp_path):
    folder = tmp_path / "second"
    copy_project(folder)
    make_small(folder)
    printed, status = parallel(folder, "--jobs", "2")
    assert status == 0, printed
    assert (folder / "dvc.lock").read_text() == (finished / "dvc.lock").read_text()
    shutil.rmtree(folder)
