"""A small project of DVC's on a real Dask cluster: what is lost, what runs twice, what is written.

The workers are processes with a clone each, and some are lost while they run a stage.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import yaml
from dvc.config import Config
from dvc.config_schema import REMOTE_SCHEMAS
from dvc.repo import Repo

from tests.helpers import heeded
from tests.imports import ROOT
from tools import demo

dask = pytest.importorskip("dask", reason="needs the extra `cluster`")
distributed = pytest.importorskip("distributed", reason="needs the extra `cluster`")
from tools import cluster  # noqa: E402 - without Dask it ends the process

pytestmark = pytest.mark.slow

# A stage. NOTES is a folder: in `log` it tells when it ran and where. The first stage that finds
# its output's name in `hangs` stands still. Those in `meet` wait for each other. What is in `sleep`
# then sleeps for half a second, if it is the first one there, the second for one second, and so on.
SCRIPT = """
import json, os, sys, time
from pathlib import Path

out, *ins = sys.argv[1:]
notes = Path(os.environ["NOTES"])

def note(**what):
    with (notes / "log").open("a") as log:
        log.write(json.dumps({"out": out, **what}) + "\\n")

def names(file):
    return (notes / file).read_text().split() if (notes / file).exists() else []

env = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "KERAS_BACKEND")}
note(began=time.time(), pid=os.getpid(), folder=os.getcwd(), env=env)
if out in names("hangs"):
    (notes / "hangs").unlink()
    time.sleep(600)
if out in names("meet"):
    end = time.monotonic() + 120
    while not all(f'"{name}", "began"' in (notes / "log").read_text() for name in names("meet")):
        if time.monotonic() > end:
            sys.exit(f"{out}: error: the others did not come")
        time.sleep(0.05)
if out in names("sleep"):
    note(slept=time.time())
    time.sleep((names("sleep").index(out) + 1) / 2)
text = "".join(Path(name).read_text() for name in ins)
if "broken" in text:
    sys.exit(f"{out}: error: an input is broken")
Path(out).write_text(f"{text}{out}\\n")
note(ended=time.time())
"""
TRAINED = ["train-1.txt", "train-2.txt", "train-3.txt"]
STAGES = {
    "prepare": {
        "cmd": "python stage.py prepared.txt raw.txt",
        "deps": ["stage.py", "raw.txt"],
        "outs": ["prepared.txt"],
    },
    # Like `clean` and `tune`: in Git, and in the run cache all the same.
    "tune": {
        "cmd": "python stage.py tuned.txt prepared.txt",
        "deps": ["stage.py", "prepared.txt"],
        "metrics": [{"tuned.txt": {"cache": False}}],
    },
    "train": {
        "matrix": {"fold": [1, 2, 3]},
        "cmd": "python stage.py train-${item.fold}.txt prepared.txt tuned.txt ${item.fold}.txt",
        "deps": ["stage.py", "prepared.txt", "tuned.txt", "${item.fold}.txt"],
        "outs": ["train-${item.fold}.txt"],
    },
    # Like the evaluations: in Git, and never in the run cache.
    "evaluate": {
        "cmd": f"python stage.py evaluated.txt {' '.join(TRAINED)}",
        "deps": ["stage.py", *TRAINED],
        "outs": [{"evaluated.txt": {"cache": False, "persist": True}}],
    },
}
OUTS = ["prepared.txt", "tuned.txt", *TRAINED, "evaluated.txt"]
ONCE = dict.fromkeys(OUTS, 1)


@pytest.fixture(scope="module", autouse=True)
def noted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder NOTES, which a worker knows from the environment in which it started."""
    folder = tmp_path_factory.mktemp("notes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTES", str(folder))
        patch.delenv("OMP_NUM_THREADS", raising=False)
        patch.delenv("KERAS_BACKEND", raising=False)
        yield folder


@pytest.fixture
def notes(noted: Path) -> Path:
    """The same, and empty."""
    for file in noted.iterdir():
        file.unlink()
    return noted


def read(notes: Path, what: str) -> list[dict]:
    """The notes with `began` or `ended`, in their order."""
    lines = (notes / "log").read_text().splitlines() if (notes / "log").exists() else []
    return [note for note in map(json.loads, lines) if what in note]


def ran(notes: Path) -> Counter:
    """How often each output was begun."""
    return Counter(note["out"] for note in read(notes, "began"))


def write(folder: Path, stages: dict = STAGES) -> None:
    """The project, in which nothing ran yet."""
    folder.mkdir()
    (folder / "stage.py").write_text(SCRIPT)
    for name in ("raw", "1", "2", "3"):
        (folder / f"{name}.txt").write_text(f"{name}\n")
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    demo.git(folder, "init", "--quiet")
    demo.dvc(folder, "init", "--quiet")


@pytest.fixture
def project(tmp_path: Path, notes: Path) -> Path:
    folder = tmp_path / "project"
    write(folder)
    return folder


@pytest.fixture
def small(tmp_path: Path, notes: Path) -> Path:
    """Its first stage alone."""
    folder = tmp_path / "project"
    write(folder, {"prepare": STAGES["prepare"]})
    return folder


@pytest.fixture(scope="module")
def serial(noted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project after `dvc repro`."""
    folder = tmp_path_factory.mktemp("serial") / "project"
    write(folder)
    demo.dvc(folder, "repro", "--quiet")
    return folder


def results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ["dvc.lock", *OUTS]}


def start(folder: Path, *arguments: str, **options: Any) -> subprocess.Popen:
    """Start `python -m tools.cluster`.

    Args:
        options: of `subprocess.Popen`.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # A cluster in this process sets it.
    environment.pop("OMP_NUM_THREADS", None)
    return subprocess.Popen(
        [sys.executable, "-m", "tools.cluster", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def end(started: subprocess.Popen) -> str:
    """What it has printed; it must end well."""
    printed, errors = started.communicate()
    assert started.returncode == 0, printed + errors
    return printed


def failure(started: subprocess.Popen) -> tuple[str, str]:
    """What it has printed, and its error, which must be one line."""
    printed, errors = started.communicate()
    assert started.returncode == 1, printed + errors
    error = re.findall(r"^cluster: error: .*", errors, re.MULTILINE)
    assert len(error) == 1, errors
    assert "Traceback" not in errors
    return printed, error[0]


def wait_for_the_end(stage: psutil.Process, seconds: float = 30) -> None:
    """Fail if the stage still runs then. Where nobody asks how it ended, it stays as a zombie."""
    until = time.monotonic() + seconds
    while stage.is_running() and stage.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until, "what a worker had started is still there"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def client(noted: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator["distributed.Client"]:
    """A cluster of three workers, as one that was there before."""
    settings = {"distributed.scheduler.worker-ttl": "30s"}
    folder = str(tmp_path_factory.mktemp("workers"))
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=3,
            threads_per_worker=1,
            memory_limit=0,
            local_directory=folder,
            dashboard_address=":0",
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def scheduler(client: "distributed.Client") -> list[str]:
    """How to use that cluster. What a test killed is back; what it cut off does not come."""
    client.wait_for_workers(2, timeout=120)
    return ["--scheduler", client.scheduler.address]


def test_with_jobs_it_is_the_serial_run(project, serial, notes):
    """The same lock and files, and what can run at the same time takes the time of the slowest."""
    for what in ("meet", "sleep"):
        (notes / what).write_text(" ".join(TRAINED))
    printed = end(start(project, "--jobs", "3"))
    assert results(project) == results(serial)
    assert ran(notes) == ONCE
    for stage in ("prepare", "tune", "train@1", "train@2", "train@3"):
        assert f"{stage}: done after" in printed
    folders = {note["out"]: note["folder"] for note in read(notes, "began")}
    assert len({folders[name] for name in TRAINED}) == 3
    assert folders["evaluated.txt"] == str(project)
    # Of Dask's making it would be 1, and TensorFlow's bytes would be others.
    assert {note["env"]["OMP_NUM_THREADS"] for note in read(notes, "began")} == {None}
    slept = [note["slept"] for note in read(notes, "slept")]
    ended = [note["ended"] for note in read(notes, "ended") if note["out"] in TRAINED]
    assert max(ended) - min(slept) < 2.5, "1.5 seconds is the slowest, 3 the sum"

    (notes / "sleep").unlink()
    assert "dashboard" not in end(start(project, "--jobs", "3")), "nothing is left to do"
    (project / "2.txt").write_text("another\n")
    end(start(project, "--jobs", "1"))
    assert ran(notes) == {**ONCE, "train-2.txt": 2, "evaluated.txt": 2}


Loss = Callable[["distributed.Client", str, int], object]  # of a worker: its address, its process


def killed(client: "distributed.Client", address: str, pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def stopped(client: "distributed.Client", address: str, pid: int) -> None:
    """The connection stands, but nothing comes any more."""
    os.kill(pid, signal.SIGSTOP)


def cut_off(client: "distributed.Client", address: str, pid: int) -> None:
    client.run(lambda dask_worker: dask_worker.batched_stream.abort(), workers=[address])


@pytest.mark.parametrize(
    ("loss", "remote"),
    [
        (killed, False),
        (cut_off, False),
        pytest.param(killed, True, marks=pytest.mark.long),
        pytest.param(stopped, False, marks=pytest.mark.long),
    ],
)
def test_the_stage_of_a_lost_worker_runs_elsewhere(
    project, serial, notes, client, scheduler, tmp_path, loss: Loss, remote: bool
):
    (notes / "hangs").write_text("train-2.txt")
    if remote:
        where = ("remote", "add", "--quiet", "--default", "storage", str(tmp_path / "remote"))
        demo.dvc(project, *where)
    started = start(project, *scheduler, *([] if remote else ["--shared-cache"]))
    while not (standing := [note for note in read(notes, "began") if note["out"] == "train-2.txt"]):
        assert started.poll() is None, started.communicate()
        time.sleep(0.1)
    while (notes / "hangs").exists():
        time.sleep(0.1)
    stage = psutil.Process(standing[0]["pid"])
    pids = {pid: address for address, pid in client.run(os.getpid).items()}
    worker = next(each.pid for each in stage.parents() if each.pid in pids)
    loss(client, pids[worker], worker)

    end(started)
    assert results(project) == results(serial)
    assert ran(notes) == {**ONCE, "train-2.txt": 2}
    first, second = (note for note in read(notes, "began") if note["out"] == "train-2.txt")
    assert first["folder"] != second["folder"]
    wait_for_the_end(stage)


def test_a_stage_that_fails_is_one_error_and_changes_nothing(project, serial, notes, scheduler):
    end(start(project, *scheduler, "--shared-cache"))
    before = results(project)
    (notes / "log").unlink()
    (project / "1.txt").write_text("broken\n")
    (project / "3.txt").write_text("another\n")
    printed, error = failure(start(project, "--jobs", "2"))
    assert "train@1: train-1.txt: error: an input is broken" in printed
    assert "train@1 failed" in error
    assert results(project) == before
    assert ran(notes) == {"train-1.txt": 1, "train-3.txt": 1}

    (project / "1.txt").write_text("1\n")
    end(start(project, *scheduler, "--shared-cache"))
    assert ran(notes) == {"train-1.txt": 1, "train-3.txt": 1, "evaluated.txt": 1}


def test_the_settings_of_here_go_along(small, notes, scheduler, monkeypatch):
    """The workers were started without them."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    end(start(small, *scheduler, "--shared-cache"))
    assert {note["env"]["KERAS_BACKEND"] for note in read(notes, "began")} == {"jax"}


@pytest.mark.long
def test_workers_that_share_nothing_but_a_remote(
    project, serial, notes, client, scheduler, tmp_path
):
    """What is up to date here they do not run; and a stage goes where its resources are."""
    for level, name in [("--project", "other"), ("--local", "storage")]:
        remote = ("remote", "add", level, "--quiet", "--default", name, str(tmp_path / name))
        demo.dvc(project, *remote)
    demo.dvc(project, "repro", "--quiet", "prepare")
    # Two records of which nobody has the output, as other machines may have left them.
    leave_a_record(serial, "tune", project / ".dvc/cache")
    leave_a_record(serial, "train@1", tmp_path / "storage")
    stages = {**STAGES, "train": {**STAGES["train"], "meta": {"resources": {"GPU": 1}}}}
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    _, error = failure(start(project, *scheduler))
    assert "no worker has GPU=1" in error
    assert "train@1" in error

    folder = tmp_path / "with a GPU"
    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler[1], "--nthreads=1"]
    command += ["--resources", "GPU=1", "--local-directory", str(folder), "--no-dashboard"]
    worker = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while not any(each["resources"] for each in client.scheduler_info()["workers"].values()):
            time.sleep(0.1)
        end(start(project, *scheduler))
    finally:
        worker.terminate()
        worker.wait()
    assert results(project) == results(serial)
    assert ran(notes) == ONCE
    assert {note["out"] for note in read(notes, "began") if str(folder) in note["folder"]} >= set(
        TRAINED
    )
    assert not (tmp_path / "other").exists(), "that is the default of others"
    assert {file.name for file in (tmp_path / "storage").iterdir()} == {"files", "runs"}


def leave_a_record(serial: Path, stage: str, cache: Path) -> None:
    """Give `cache` a record of the stage with an output that is nowhere."""
    cmd = yaml.safe_load((serial / "dvc.lock").read_text())["stages"][stage]["cmd"]
    runs = serial / ".dvc/cache/runs"
    for path in runs.glob("*/*/*"):
        record = yaml.safe_load(path.read_text())
        if record["cmd"] == cmd:
            record["outs"][0]["md5"] = "0" * 32
            left = cache / "runs" / path.parent.relative_to(runs) / ("0" * 64)
            left.parent.mkdir(parents=True)
            left.write_text(yaml.safe_dump(record, sort_keys=False))


def configured(project: Path, remote: bool = True) -> dict:
    """What a clone of `project` has in its `.dvc/config.local`."""
    with Repo(str(project)) as repo:
        text = cluster.configuration(repo, remote)
    (project / "given").write_text(text)
    return Config.load_file(str(project / "given"))


def test_a_worker_gets_all_of_the_remote_but_its_secrets(small):
    for level, name in [("--project", "other"), ("--local", "storage")]:
        url = f"https://box/{name}"
        demo.dvc(small, "remote", "add", level, "--quiet", "--default", name, url)
    options = {"user": "me", "password": "hush", "method": "PUT", "ssl_verify": "../box.pem"}
    for name, value in options.items():
        demo.dvc(small, "remote", "modify", "--local", "--quiet", "storage", name, value)
    given = configured(small)
    assert given["core"]["remote"] == "storage"
    sent = given["remote"]["storage"]
    assert sent.pop("url") == "https://box/storage"
    assert {name: sent[name] for name in options if name in sent} == {
        name: value for name, value in options.items() if name != "password"
    }
    assert set(given["remote"]) == {"storage"}


def test_paths_of_a_remote_mean_the_same_in_a_clone(small, monkeypatch):
    """Those of keys are from `~` or from the clone; the URL is one place for all."""
    monkeypatch.setattr(
        "dvc.data_cloud.DataCloud.get_remote", lambda self: SimpleNamespace(name="s")
    )
    paths = {
        "credentialpath": "../credentials",
        "configpath": "~/aws",
        "endpointurl": "https://box",
    }
    lines = ["[core]", "remote = s", "['remote \"s\"']", "url = s3://box/storage"]
    lines += [f"{name} = {value}" for name, value in paths.items()]
    (small / ".dvc/config.local").write_text("\n".join(lines))
    sent = configured(small)["remote"]["s"]
    assert {name: sent[name] for name in paths} == paths


def test_all_secrets_that_dvc_knows_are_left_out():
    names = {str(name) for options in REMOTE_SCHEMAS.values() for name in options}
    looks = re.compile("pass|secret|token|key|connection_string")
    harmless = {
        *("ask_password", "ask_passphrase", "bearer_token_command", "sse_kms_key_id", "keyfile"),
        *("key_path", "exclude_shared_token_cache_credential"),
    }
    assert {name for name in names if looks.search(name)} - harmless == cluster.SECRETS


@pytest.mark.parametrize("shared_cache", [False, True])
def test_a_worker_that_shares_nothing_is_an_error_at_once(
    small, notes, client, scheduler, shared_cache
):
    """To each process, `/proc/self/cwd` is the folder in which it was started."""
    if not Path("/proc/self/cwd").exists():
        pytest.skip("needs Linux")
    if shared_cache:
        demo.dvc(small, "cache", "dir", "--quiet", "/proc/self/cwd/cache")
    else:
        remote = ("remote", "add", "--quiet", "--default", "storage", "/proc/self/cwd/remote")
        demo.dvc(small, *remote)
    _, error = failure(start(small, *scheduler, *(["--shared-cache"] if shared_cache else [])))
    assert any(f"the worker {address} does not see" in error for address in client.run(os.getpid))
    assert ("--shared-cache" if shared_cache else "take a bucket") in error
    assert not ran(notes)
    place = small / ("cache" if shared_cache else "remote")
    assert not [file for file in place.iterdir() if file.name.startswith("cluster-")]


def test_a_remote_that_takes_nothing_is_one_error(small, notes, scheduler, tmp_path):
    (tmp_path / "file").touch()
    where = ("remote", "add", "--quiet", "--default", "storage", str(tmp_path / "file/remote"))
    demo.dvc(small, *where)
    _, error = failure(start(small, *scheduler))
    assert "DVC's remote cannot be used (" in error
    assert not ran(notes)


def test_a_stage_that_ends_its_workers_is_given_up(small, notes, monkeypatch):
    monkeypatch.setenv("DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES", "0")
    (notes / "hangs").write_text("prepared.txt")
    started = start(small, "--jobs", "1")
    while not read(notes, "began") or (notes / "hangs").exists():
        assert started.poll() is None, started.communicate()
        time.sleep(0.1)
    stage = psutil.Process(read(notes, "began")[0]["pid"])
    # From the stage up: what runs it, its worker, what looks after that, and `started`.
    above = [each.pid for each in stage.parents()]
    os.kill(above[above.index(started.pid) - 1], signal.SIGKILL)
    _, error = failure(started)
    assert "prepare (every worker that it ran on died) failed" in error
    wait_for_the_end(stage)


def test_a_lost_scheduler_is_one_error(small, notes, tmp_path):
    folder = str(tmp_path / "workers")
    commands = [
        ["dask_scheduler", "--port=0", "--no-dashboard", f"--scheduler-file={tmp_path}/file"],
        ["dask_worker", f"--scheduler-file={tmp_path}/file", "--nthreads=1", "--no-dashboard"],
    ]
    commands[1] += ["--local-directory", folder]
    (notes / "hangs").write_text("prepared.txt")
    cluster_of_its_own = []
    try:
        for name, *options in commands:
            command = [sys.executable, "-m", f"distributed.cli.{name}", *options]
            cluster_of_its_own.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))
            while not (tmp_path / "file").exists():
                time.sleep(0.1)
        address = json.loads((tmp_path / "file").read_text())["address"]
        started = start(small, "--scheduler", address, "--shared-cache")
        while not read(notes, "began") or (notes / "hangs").exists():
            assert started.poll() is None, started.communicate()
            time.sleep(0.1)
        cluster_of_its_own[0].kill()
        _, error = failure(started)
        assert f"the scheduler at {address} is lost" in error
    finally:
        for process in reversed(cluster_of_its_own):
            process.terminate()
            process.wait()


@pytest.mark.long
def test_with_jobs_the_demo_is_the_serial_run(finished, tmp_path):
    folder = tmp_path / "demo"
    demo.copy_project(folder)
    demo.make_small(folder)
    end(start(folder, "--jobs", "2"))
    assert (folder / "dvc.lock").read_bytes() == (finished / "dvc.lock").read_bytes()
    shutil.rmtree(folder)  # pytest keeps its folders for a while, and this is 200 MB


# Fold by fold, a param that its training reads.
TRIED = {
    **STAGES,
    "train": {
        **STAGES["train"],
        "cmd": f"{STAGES['train']['cmd']} rate-${{item.fold}}.yaml",
        "params": [{"rate-${item.fold}.yaml": ["rate"]}],
    },
}


def try_out(folder: Path, rates: dict[int, int]) -> None:
    """Give a committed project these rates."""
    for fold in (1, 2, 3):
        (folder / f"rate-{fold}.yaml").write_text(f"rate: {rates.get(fold, 0)}\n")
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": TRIED}, sort_keys=False))
    demo.git(folder, "add", "--all")
    demo.git(folder, *demo.COMMIT)


def experiments(folder: Path) -> dict[str, str]:
    """The commits of finished experiments, by name."""
    listing = ["git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps/*/*/*"]
    lines = subprocess.check_output(listing, cwd=folder, text=True).splitlines()
    return {line.split()[0].split("/")[-1]: line.split()[1] for line in lines}


@pytest.mark.parametrize("remote", [False, pytest.param(True, marks=pytest.mark.long)])
def test_queued_experiments_share_what_they_can(project, notes, request, tmp_path, remote):
    """Each is what it is without Dask, and what two need is trained once."""
    arguments = ["--jobs", "2"]
    if remote:
        arguments = request.getfixturevalue("scheduler")
        where = ("remote", "add", "--quiet", "--default", "storage", str(tmp_path / "remote"))
        demo.dvc(project, *where)
    try_out(project, {})
    queue = ("exp", "run", "--quiet", "--queue")
    demo.dvc(project, *queue, "--name", "whole", "--set-param", "rate-1.yaml:rate=1")
    part = ("--name", "part", "--set-param", "rate-2.yaml:rate=2", "train@2", "train@3")
    demo.dvc(project, *queue, *part)
    printed = end(start(project, "--queue", *arguments))
    expected = {"prepared.txt": 1, "tuned.txt": 1, "train-1.txt": 1, "train-2.txt": 2}
    assert ran(notes) == expected | {"train-3.txt": 1, "evaluated.txt": 1}
    assert "whole: train@1: done after" in printed
    assert "part: train@2: done after" in printed
    inside = {note["out"] for note in read(notes, "began") if str(project) in note["folder"]}
    assert remote == (inside == {"evaluated.txt"}), "Dask's workers of `--jobs` are inside, too"
    commits = experiments(project)
    assert set(commits) == {"whole", "part"}
    assert not (project / "dvc.lock").exists()

    for name, rates, targets in [("whole", {1: 1}, []), ("part", {2: 2}, ["train@2", "train@3"])]:
        alone = tmp_path / name
        write(alone)
        try_out(alone, rates)
        demo.dvc(alone, "repro", "--quiet", *targets)
        show = ["git", "show", f"{commits[name]}:dvc.lock"]
        assert subprocess.check_output(show, cwd=project) == (alone / "dvc.lock").read_bytes()

    _, error = failure(start(project, "--queue", *arguments))
    assert "nothing is queued" in error


def test_ctrl_c_ends_everything(project, notes):
    (notes / "hangs").write_text("prepared.txt")
    with heeded(signal.SIGINT):
        started = start(project, "--jobs", "1", start_new_session=True)
    while not read(notes, "began") or (notes / "hangs").exists():
        assert started.poll() is None, started.communicate()
        time.sleep(0.1)
    stage = psutil.Process(read(notes, "began")[0]["pid"])
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does it
    _, errors = started.communicate()
    assert started.returncode == 1
    assert errors.splitlines()[-1].startswith("cluster: stopped")
    assert "Traceback" not in errors
    wait_for_the_end(stage)
    assert not (project / "dvc.lock").exists()


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["--jobs", "0"], "let JOBS be 1 or more"),
        (["--scheduler", "box"], "`dask scheduler`"),
        (["--scheduler", "tcp://127.0.0.1:9"], "`dask scheduler`"),
    ],
)
def test_without_workers_the_error_says_how_to_get_some(project, arguments, advice):
    _, error = failure(start(project, *arguments, "--shared-cache"))
    assert advice in error


def test_without_dask_the_error_says_what_is_missing():
    code = "import runpy, sys; sys.modules['distributed'] = None; runpy.run_module('tools.cluster')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("cluster: error: the package distributed is missing; ")
    assert done.stderr.count("\n") == 1
