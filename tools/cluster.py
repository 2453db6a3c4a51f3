"""The stages that are not up to date on several processes or machines, by Dask.

`python -m tools.cluster --jobs N` starts N workers here; `--scheduler ADDRESS` takes those of a
Dask cluster that runs. A stage becomes a Dask task if DVC's run cache can keep its results. A
worker runs it in a clone of its own, and DVC's cache brings its results to all others. The last
step is an ordinary `dvc repro` here: it finds them in the run cache, runs what is left and leaves
the `dvc.lock` of a serial run. With `--queue` it is the same for the experiments that
`dvc exp run --queue` has queued, and the last step is `dvc exp run --run-all`. `docs/cluster.md`
tells how to use it.
"""

import argparse
import io
import logging
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import chdir, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from configobj import ConfigObj
from dvc.config import Config
from dvc.config_schema import ExpPath, RelPath
from dvc.exceptions import DvcException
from dvc.fs import FileSystem, HTTPFileSystem, generic
from dvc.repo import Repo
from dvc.repo.experiments.executor.base import BaseExecutor
from dvc.stage import PipelineStage, Stage
from dvc.stage.cache import RunCacheNotSupported, _can_hash, _get_cache_hash, _get_stage_hash
from dvc.stage.serialize import to_single_stage_lockfile

from stages.cli import InputError
from tools.plan import pending

try:
    import cloudpickle
    import dask
    import distributed
except ModuleNotFoundError as error:
    sys.exit(
        f"cluster: error: the package {error.name} is missing; `make repro JOBS=2` installs what "
        "is needed, as does `pip install --constraint requirements.lock 'distributed>=2026.7'`"
    )

# A worker may be on a machine without this module, so it gets the code and not its name.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

QUEUE = Path(".work/queue")  # the queued experiments' trees, until all of them are done

# Each machine has its own of these options of a remote.
SECRETS = {
    *("password", "passphrase", "token", "session_token", "sas_token", "connection_string"),
    *("access_key_id", "secret_access_key", "sse_customer_key", "account_key", "client_secret"),
    *("oss_key_id", "oss_key_secret", "gdrive_client_secret"),
}

# What changes a stage's results or its time goes along, as far as it is set here.
SENT = ("KERAS_", "TF_", "XLA_", "OMP_", "ONEDNN_")

REMOTE, CACHE = "DVC's remote", "this clone's cache"

# Whatever ends a worker closes the standard input of this process, which then ends the stage.
GUARD = """
import os, signal, subprocess, sys, threading
child = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, start_new_session=True)
def watch():
    sys.stdin.read()
    os.killpg(child.pid, signal.SIGKILL)
threading.Thread(target=watch, daemon=True).start()
sys.exit(child.wait())
"""


@dataclass(eq=False)
class Clone(distributed.WorkerPlugin):
    """The user's work tree or a queued experiment, on each worker, for a stage at a time."""

    name: str
    prefix: str  # of what is printed
    here: Path  # where the user has it
    tree: bytes  # a tar file of it
    config: str  # its `.dvc/config.local`
    environment: dict[str, str | None]  # for the stages; None: unset
    remote: bool  # results go through DVC's remote; otherwise all have one cache
    sources: Sequence[str] = ()  # what `dvc add` has added, to be checked out of a shared cache
    token: str = ""  # the name of a file that is where results go; "": nobody looks for it

    def setup(self, worker: Any) -> None:
        self.address = worker.address
        self.one_at_a_time = threading.Lock()
        self.running: subprocess.Popen | None = None
        self.folder = Path(worker.local_directory) / self.name
        unpack(self.tree, self.config, self.folder)
        if not self.remote:  # unfinished work goes on, whoever has it next
            (self.folder / ".work").symlink_to(self.here / ".work", target_is_directory=True)

    def teardown(self, worker: Any) -> None:
        if self.running:
            self.running.stdin.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def check(self) -> None:
        """Look whether what others have done can come here.

        Raises:
            DvcException: it cannot.
        """
        if not self.token:
            return
        reason = ""
        with Repo(str(self.folder)) as repo:
            try:
                files, path = place(repo, self.remote, self.token)
                if files.exists(path):
                    return
            except Exception as error:  # what a remote's library raises, or that it is missing
                reason = f" ({error})"
        where, advice = CACHE, "leave out --shared-cache"
        if self.remote:
            where = REMOTE
            advice = "take a bucket, an SSH server, or a folder that all machines mount"
        raise DvcException(
            f"the worker {self.address} does not see what was put into {where}{reason}, so nothing "
            f"that it does would come here; {advice}"
        )

    def run(self, stage: str) -> None:
        """Run `stage`, unless the run cache has it, with what it needs from there.

        Raises:
            CalledProcessError: the stage failed.
            DvcException: this worker shares nothing with the others.
        """
        with self.one_at_a_time:
            self.check()  # the worker may have come after the start
            started, address = time.monotonic(), self.address
            self.say(stage, f"begins on {address}")
            if self.sources and not self.remote:
                self.dvc(stage, "checkout", "--quiet", *self.sources)
            self.dvc(stage, "repro", "--quiet", *(["--pull"] if self.remote else []), stage)
            if self.remote:
                share(self.folder, [stage], ran=True)
            self.say(stage, f"done after {time.monotonic() - started:.1f} s on {address}")

    def say(self, stage: str, line: str) -> None:
        line = f"{self.prefix}{stage}: {line.removeprefix(f'{stage}: ')}"
        distributed.get_worker().log_event(self.name, line)

    def dvc(self, stage: str, *arguments: str) -> None:
        environment = {
            **os.environ,
            **self.environment,
            "PATH": path(),
            "DVC_SITE_CACHE_DIR": str(self.folder / ".dvc/site"),
        }
        self.running = subprocess.Popen(
            [sys.executable, "-c", GUARD, sys.executable, "-m", "dvc", *arguments],
            cwd=self.folder,
            env={key: value for key, value in environment.items() if value is not None},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C ends the worker, and that ends this
        )
        for line in self.running.stdout:
            if line.strip():
                self.say(stage, line.rstrip())
        if self.running.wait():
            self.say(stage, "failed; what does not need it goes on")
            raise subprocess.CalledProcessError(self.running.returncode, self.prefix + stage)


def path() -> str:
    """This interpreter's own programs first."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@contextmanager
def using(what: str) -> Iterator[None]:
    """Whatever a remote's library raises, or that it is missing, becomes one error.

    Raises:
        DvcException: the remote, or another place for results, cannot be used.
    """
    try:
        yield
    except DvcException:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DvcException(
            f"{what} cannot be used ({reason}); mend that, and start again"
        ) from error


def share(folder: Path, names: list[str], ran: bool = False) -> None:
    """Push results of stages to DVC's remote, then the records of their runs.

    `dvc push --run-cache` leaves out what has `cache: false`, which a run from the run cache needs,
    and takes records of which it leaves out all results.

    Args:
        ran: what the remote has of these stages was no use, or they would not have run.

    Raises:
        DvcException: the remote did not take them.
    """
    with using(REMOTE), Repo(str(folder)) as repo:
        remote = repo.cloud.get_remote_odb(hash_name="md5-dos2unix")
        if isinstance(remote.fs, HTTPFileSystem):
            raise RunCacheNotSupported("a remote by HTTP cannot keep the records of runs")
        for stage in repo.index.stages:
            if isinstance(stage, PipelineStage) and stage.name in names:
                for out in stage.outs:
                    out.use_cache = True
                for objects in stage.get_used_objs().values():
                    if repo.cloud.push(objects).failed:
                        raise DvcException(f"{REMOTE} did not take all outputs of {stage.name}")
                share_record(repo, stage, remote.fs, remote.path, ran)


def share_record(repo: Repo, stage: Stage, files: FileSystem, root: str, ran: bool) -> None:
    """Put the record of a stage's run into the remote `files` at `root`, after its outputs.

    One that has outputs there stays the only one, so that all workers go on from the same bytes.
    """
    if not _can_hash(stage):  # it has none
        return
    key, value = _get_stage_hash(stage), _get_cache_hash(to_single_stage_lockfile(stage))
    record = repo.stage_cache._get_cache_path(key, value)
    folder = files.join(root, "runs", key[:2], key)
    there = {files.name(path): path for path in files.find(folder)} if files.exists(folder) else {}
    # The same record stays as it is: another worker may be reading it.
    if Path(record).exists() and value not in there and (ran or not there):
        generic.copy(repo.cache.legacy.fs, record, files, files.join(folder, value))
        for path in there.values():
            files.rm_file(path)


def is_kept(stage: Stage) -> bool:
    """Whether DVC's run cache can have the results of `stage`."""
    return (
        isinstance(stage, PipelineStage)
        and stage.path_in_repo == "dvc.yaml"
        and not (stage.frozen or stage.always_changed)
        and bool(stage.cmd and stage.deps and stage.outs)
        and all(each.protocol == "local" for each in [*stage.deps, *stage.outs])
        and not any(out.persist for out in stage.outs)
    )


class Task(NamedTuple):
    """A stage to run in a clone, the tasks that it needs, and what it asks for in `meta`."""

    clone: Clone
    stage: str
    needs: list[str]
    resources: dict[str, float]


def plan(remote: bool, queue: bool) -> dict[str, Task]:
    """What is not up to date and can run elsewhere, by keys of Dask's.

    Args:
        remote: results go through DVC's remote; otherwise through the cache of this clone.
        queue: it is what the queued experiments need, not the work tree.

    Raises:
        InputError: no experiment is queued.
    """
    run = uuid.uuid4().hex[:8]
    tasks: dict[str, Task] = {}
    # Dask's nanny sets these. Without them a stage has the threads that it has without Dask, and
    # so the same bytes.
    nannys = [*dask.config.get("distributed.nanny.pre-spawn-environ"), "PYTHONHASHSEED"]
    environment = {name: os.environ.get(name) for name in nannys}
    environment |= {name: os.environ[name] for name in os.environ if name.startswith(SENT)}
    with Repo() as repo:
        root, config = Path(repo.root_dir), configuration(repo, remote)
        cache = f'dir = "{repo.cache.local_cache_dir}"\n'
        queued = list(repo.experiments.celery_queue.iter_queued()) if queue else []
        trees = {} if queue else {root: ("", pack(repo))}
    for entry in queued:
        archive = subprocess.check_output(["git", "archive", entry.stash_rev], cwd=root)
        trees[root / QUEUE / entry.stash_rev] = f"{entry.name}: ", archive
    if not trees:
        raise InputError("nothing is queued; `dvc exp run --queue -S NAME=VALUE` queues something")
    for number, (here, (prefix, tree)) in enumerate(trees.items()):
        if queue:
            unpack(tree, config + cache, here)
        (here / ".work").mkdir(exist_ok=True)
        clone = Clone(
            f"clone-{run}-{number}",
            prefix,
            here,
            tree,
            config if remote else config + cache,
            environment,
            remote,
        )
        with chdir(here), Repo() as repo:
            for key, task in find(repo, clone, run, queue).items():
                tasks.setdefault(key, task)
    return tasks


def find(repo: Repo, clone: Clone, run: str, queued: bool) -> dict[str, Task]:
    """The tasks of one clone.

    The same work has the same key in all clones of a run: Dask does it once, and DVC's run cache
    has it for the others.
    """
    targets = [None]
    if queued:
        logging.getLogger("dvc_data").setLevel(logging.ERROR)  # it warns of what never ran
        repo.checkout(force=True, allow_missing=True)
        packed = Path(repo.tmp_dir, BaseExecutor.PACKED_ARGS_FILE)
        targets = BaseExecutor.unpack_repro_args(packed)[1]["targets"] or targets
    wanted = [stage for target in targets for stage in repo.stage.collect(target, with_deps=True)]
    graph = repo.index.graph  # from a stage to those that it depends on
    clone.sources = [stage.addressing for stage in graph if not stage.cmd]
    by_name = {stage.addressing: stage for stage in graph}
    changed = pending(repo)
    keys: dict[str, str] = {}
    tasks: dict[str, Task] = {}
    for name in changed:
        stage = by_name[name]
        needs = {need.addressing for need in graph.successors(stage)} & set(changed)
        if stage in wanted and is_kept(stage) and needs <= set(keys):
            needed = sorted(keys[need] for need in needs)
            read = [dep.exists and dep.get_hash().value for dep in stage.deps]
            keys[name] = f"{name} {dask.base.tokenize(run, stage.cmd, read, needed)}"
            resources = (stage.meta or {}).get("resources", {})
            tasks[keys[name]] = Task(clone, name, needed, resources)
    if clone.remote and tasks:
        share(
            clone.here,
            [name for name, stage in by_name.items() if name not in changed and is_kept(stage)],
        )
    return tasks


def pack(repo: Repo) -> bytes:
    """A tar file of what Git has or would add, as it is now, and of what else stages read."""
    root = Path(repo.root_dir)
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", ":!.work"]
    names = set(subprocess.check_output(listing, cwd=root, text=True).split("\0"))
    outs = {out.fs_path for out in repo.index.outs}
    read = {dep.fs_path for dep in repo.index.deps if dep.protocol == "local"} - outs
    names |= {os.path.relpath(path, root) for path in read if Path(path).is_relative_to(root)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in sorted(names):
            if (root / name).is_file():
                tar.add(root / name, name)
    return packed.getvalue()


def unpack(tree: bytes, config: str, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(tree)) as tar:
        tar.extractall(folder, filter="tar")
    (folder / ".dvc/config.local").write_text(config, encoding="utf-8")


def configuration(repo: Repo, remote: bool) -> str:
    """The `.dvc/config.local` of a clone: no Git, the remote, and links in place of copies."""
    sections: dict[str, dict[str, Any]] = {"core": {"no_scm": "true", "autostage": "false"}}
    if remote:
        name = repo.cloud.get_remote().name
        options = {
            key: value for key, value in repo.config["remote"][name].items() if key not in SECRETS
        }
        for key, value in options.items():
            # As it was written: from `~`, or from the clone. All shall meet at the URL.
            if key != "url" and isinstance(value, ExpPath | RelPath):
                options[key] = Config._to_relpath(repo.dvc_dir, value)
        sections["core"]["remote"] = name
        sections[f'remote "{name}"'] = options
    lines = ConfigObj(sections).write()
    return "\n".join([*lines, "[cache]", "type = reflink,hardlink,symlink,copy", ""])


def place(repo: Repo, remote: bool, token: str) -> tuple[FileSystem, str]:
    """Where a file `token` is beside the results that are shared."""
    if remote:
        storage = repo.cloud.get_remote()
        return storage.fs, storage.fs.join(storage.path, token)
    files = repo.cache.local.fs
    return files, files.join(repo.cache.local_cache_dir, token)


@contextmanager
def shown(tasks: dict[str, Task], remote: bool) -> Iterator[None]:
    """Put a file where results go, which every worker then looks for."""
    token = f"cluster-{uuid.uuid4().hex}"
    with using(REMOTE if remote else CACHE), Repo() as repo:
        files, path = place(repo, remote, token)
        files.makedirs(files.parent(path), exist_ok=True)
        files.pipe_file(path, b"The workers of a run look for this. Afterwards it may go.\n")
    for task in tasks.values():
        task.clone.token = token
    try:
        yield
    finally:
        # A connection of hours ago may be no more. A file that stays does no harm.
        with suppress(Exception), Repo() as repo:
            files, path = place(repo, remote, token)
            files.rm_file(path)


def check_resources(client: distributed.Client, tasks: dict[str, Task]) -> None:
    """Raise an `InputError` for a stage for which no worker has what it asks for."""
    workers = [worker["resources"] for worker in client.scheduler_info()["workers"].values()]
    for task in tasks.values():
        wanted = task.resources.items()
        if not any(all(has.get(key, 0) >= value for key, value in wanted) for has in workers):
            asked = " ".join(f"{key}={value:g}" for key, value in wanted)
            raise InputError(
                f"no worker has {asked}, which `meta` in dvc.yaml asks for the stage {task.stage}; "
                f"start one that has, by `dask worker --resources '{asked}'`, or change `meta`"
            )


def distribute(client: distributed.Client, tasks: dict[str, Task]) -> None:
    """Run `tasks` on the workers of `client`, and print what they print.

    Raises:
        InputError: a stage failed or lost its worker too often, or no worker is fit for it. What
            does not need it has run to its end.
    """
    check_resources(client, tasks)
    clones = {task.clone.name: task.clone for task in tasks.values()}
    for name, clone in clones.items():
        client.subscribe_topic(name, lambda event: print(event[1], flush=True))
        client.register_plugin(clone)
    client.run(check_worker, next(iter(clones)))
    futures: dict[str, distributed.Future] = {}
    for key, task in tasks.items():
        needed = [futures[need] for need in task.needs]
        arguments = (task.clone.name, task.stage, *needed)
        futures[key] = client.submit(run_stage, *arguments, key=key, resources=task.resources)
    failed: set[str] = set()
    try:
        for future in distributed.as_completed(futures.values()):
            error = future.exception()
            # That of the stage which began it, also in those that need it.
            if isinstance(error, subprocess.CalledProcessError):
                failed.add(error.cmd)
            elif isinstance(error, distributed.KilledWorker):
                task = tasks[error.task]
                failed.add(f"{task.clone.prefix}{task.stage} (every worker that it ran on died)")
            elif error:
                raise error
    finally:
        for name in clones:
            client.unregister_worker_plugin(name)
    if failed:
        raise InputError(
            f"{', '.join(sorted(failed))} failed, for the reason above; nothing has changed here, "
            "and what the others have done is in the run cache: mend it, and start again"
        )


def check_worker(clone: str, dask_worker: Any) -> None:
    if clone in dask_worker.plugins:  # not yet, if it comes just now
        dask_worker.plugins[clone].check()


def run_stage(clone: str, stage: str, *needed: None) -> None:
    distributed.get_worker().plugins[clone].run(stage)


def main(jobs: int | None, scheduler: str | None, shared_cache: bool, queue: bool) -> int:
    """Bring everything up to date.

    Returns:
        The exit status of DVC at the end.

    Raises:
        InputError: a stage failed, there is no cluster any more, or nothing is queued.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"{jobs} workers do nothing; let JOBS be 1 or more")
    remote = scheduler is not None and not shared_cache
    environment = os.environ | {"PATH": path()}  # Dask's nanny changes it
    tasks = plan(remote, queue)
    if tasks:
        with cluster(jobs, scheduler) as client:
            print(f"cluster: the dashboard is at {client.dashboard_link}", flush=True)
            with shown(tasks, remote) if scheduler else nullcontext():
                distribute(client, tasks)

    def dvc(*arguments: str, folder: Path = Path()) -> int:
        command = [sys.executable, "-m", "dvc", *arguments]
        return subprocess.run(command, cwd=folder, env=environment, check=False).returncode

    if not queue:
        return dvc("repro", *(["--pull"] if remote else []))
    for clone in {task.clone for task in tasks.values()} if remote else ():
        stages = [task.stage for task in tasks.values() if task.clone is clone]
        if status := dvc("repro", "--quiet", "--pull", *stages, folder=clone.here):
            return status
    status = dvc("exp", "run", "--run-all", "--jobs", str(jobs or 1))
    with Repo() as repo:
        ended = repo.experiments.celery_queue.iter_failed()
        failed = [entry.name for entry, _ in ended if (QUEUE / entry.stash_rev).exists()]
    shutil.rmtree(QUEUE)
    if failed:
        raise InputError(f"{', '.join(failed)} failed, for the reason in `dvc queue logs NAME`")
    return status


@contextmanager
def cluster(jobs: int | None, scheduler: str | None) -> Iterator[distributed.Client]:
    """Workers of one's own, or those of a `scheduler`."""
    if scheduler is None:
        # Ctrl-C is for this process alone, which then ends the workers.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        own = distributed.LocalCluster(
            n_workers=jobs,
            threads_per_worker=1,
            memory_limit=0,  # Dask would count the worker's own, not that of its stage
            silence_logs=logging.CRITICAL,  # a stage that fails is no defect of Dask's
            local_directory=".work/cluster",
            dashboard_address="127.0.0.1:8787",
        )
        signal.signal(signal.SIGINT, handler)
        with own, distributed.Client(own) as client:
            yield client
        return
    try:
        client = distributed.Client(scheduler, timeout=10)
        client.wait_for_workers(1, timeout=60)
    except (OSError, TimeoutError, ValueError):  # ValueError: no such address can be
        raise InputError(
            f"no scheduler with a worker answers at {scheduler}; `dask scheduler` and "
            "`dask worker ADDRESS` start them"
        ) from None
    with client:
        try:
            yield client
        except Exception as error:
            if client.status == "running" and not isinstance(error, CancelledError):
                raise
            raise InputError(
                f"the scheduler at {scheduler} is lost; what has finished is in the run cache: "
                "start it and its workers, and then this again"
            ) from None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.cluster", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--jobs", type=int, metavar="N", help="so many workers on this machine")
    where.add_argument("--scheduler", metavar="ADDRESS", help="of a cluster, as tcp://box:8786")
    shared, queue = "its workers see this clone's cache, by the same path", "queued experiments"
    parser.add_argument("--shared-cache", action="store_true", help=shared)
    parser.add_argument("--queue", action="store_true", help=queue)
    arguments = parser.parse_args()
    try:
        sys.exit(main(**vars(arguments)))
    except (InputError, DvcException) as error:
        sys.exit(f"cluster: error: {error}")
    except KeyboardInterrupt:
        sys.exit("cluster: stopped; what has finished is in the run cache, for the next start")
