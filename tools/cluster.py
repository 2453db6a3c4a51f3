"""The stages that are not up to date on several processes or machines, by Dask.

`python -m tools.cluster --jobs N` starts N workers here; `--scheduler ADDRESS` takes those of a
Dask cluster that runs. A stage becomes a Dask task if DVC's run cache can keep its results. A
worker runs it in a clone of its own, and DVC's cache brings its results to all others. The last
step is an ordinary `dvc repro` here: it finds them in the run cache, runs what is left and leaves
the `dvc.lock` of a serial run. `docs/cluster.md` tells how to use it.
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage import PipelineStage, Stage

from stages.cli import InputError
from tools.plan import pending

try:
    import cloudpickle
    import dask
    from distributed import (
        Client,
        Future,
        KilledWorker,
        LocalCluster,
        WorkerPlugin,
        as_completed,
        get_worker,
    )
except ModuleNotFoundError as error:
    sys.exit(
        f"cluster: error: the package {error.name} is missing; `make repro JOBS=2` installs what "
        "is needed, as does `pip install --constraint requirements.lock 'distributed>=2026.7'`"
    )

# A worker may be on a machine without this module, so it gets the code and not its name.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

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


class Clone(WorkerPlugin):
    """The user's work tree, on each worker, where it runs a stage at a time.

    Args:
        tree: a tar file of it.
        config: its `.dvc/config.local`.
        environment: variables for the stages; None: unset.
        work: the folder for unfinished work, where all workers share one with the user.
        sources: what `dvc add` has added, to be checked out of a shared cache.
        remote: results go through DVC's remote; otherwise all have one cache.
    """

    def __init__(
        self,
        tree: bytes,
        config: str,
        environment: dict[str, str | None],
        work: Path | None,
        sources: list[str],
        remote: bool,
    ):
        self.name = f"clone-{uuid.uuid4().hex[:8]}"
        self.tree, self.config, self.environment = tree, config, environment
        self.work, self.sources, self.remote = work, sources, remote

    def setup(self, worker: Any) -> None:
        self.one_at_a_time = threading.Lock()
        self.running: subprocess.Popen | None = None
        self.folder = Path(worker.local_directory) / self.name
        with tarfile.open(fileobj=io.BytesIO(self.tree)) as tar:
            tar.extractall(self.folder, filter="tar")
        (self.folder / ".dvc/config.local").write_text(self.config, encoding="utf-8")
        if self.work:
            (self.folder / ".work").symlink_to(self.work, target_is_directory=True)

    def teardown(self, worker: Any) -> None:
        if self.running:
            self.running.stdin.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, stage: str) -> tuple[str, float]:
        """Run `stage`, unless the run cache has it, with what it needs from there.

        Returns:
            The worker's address, and the seconds that it took.

        Raises:
            CalledProcessError: the stage failed.
        """
        with self.one_at_a_time:
            started, address = time.monotonic(), get_worker().address
            get_worker().log_event(self.name, f"{stage}: begins on {address}")
            if self.sources and not self.remote:
                self.dvc(stage, "checkout", "--quiet", *self.sources)
            self.dvc(stage, "repro", "--quiet", *(["--pull"] if self.remote else []), stage)
            if self.remote:
                share(self.folder, [stage])
            return address, time.monotonic() - started

    def dvc(self, stage: str, *arguments: str) -> None:
        worker = get_worker()
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
                prefix = "" if line.startswith(stage) else f"{stage}: "
                worker.log_event(self.name, prefix + line.rstrip())
        if self.running.wait():
            raise subprocess.CalledProcessError(self.running.returncode, stage)


def path() -> str:
    """This interpreter's own programs first."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def share(folder: Path, names: list[str]) -> None:
    """Push results of stages to DVC's remote, then the records of their runs.

    `dvc push --run-cache` leaves out what has `cache: false`, which a run from the run cache needs.

    Raises:
        OSError: the remote did not take them.
    """
    with Repo(str(folder)) as repo:
        for stage in repo.index.stages:
            if isinstance(stage, PipelineStage) and stage.name in names:
                for out in stage.outs:
                    out.use_cache = True
                for objects in stage.get_used_objs().values():
                    if repo.cloud.push(objects).failed:
                        raise OSError(f"the remote did not take all outputs of {stage.name}")
        remote = repo.cloud.get_remote_odb(hash_name="md5-dos2unix")
        # Records that are there stay: another worker may be reading them.
        repo.stage_cache.transfer(repo.cache.legacy, remote, force=False)


def is_kept(stage: Stage) -> bool:
    """Whether DVC's run cache can have the results of `stage`."""
    return (
        isinstance(stage, PipelineStage)
        and stage.path_in_repo == "dvc.yaml"
        and not (stage.frozen or stage.always_changed)
        and bool(stage.cmd and stage.deps and stage.outs)
        and all(each.protocol == "local" for each in [*stage.deps, *stage.outs])
        and all(out.use_cache or out.is_metric or out.is_plot for out in stage.outs)
        and not any(out.persist for out in stage.outs)
    )


class Task(NamedTuple):
    """A stage: those that it needs and that run too, and what it asks for in `meta`."""

    needs: list[str]
    resources: dict[str, float]


def plan(remote: bool) -> tuple[Clone, dict[str, Task]]:
    """What is not up to date and can run elsewhere, by stage, and the clones where it can.

    Args:
        remote: results go through DVC's remote; otherwise through the cache of this clone.
    """
    with Repo() as repo:
        changed = pending(repo)
        graph = repo.index.graph  # from a stage to those that it depends on
        by_name = {stage.addressing: stage for stage in graph}
        tasks: dict[str, Task] = {}
        for name in changed:
            stage = by_name[name]
            needs = {need.addressing for need in graph.successors(stage)} & set(changed)
            if is_kept(stage) and needs <= set(tasks):
                tasks[name] = Task(sorted(needs), (stage.meta or {}).get("resources", {}))
        work = Path(repo.root_dir, ".work")
        work.mkdir(exist_ok=True)
        # Dask's nanny sets these. Without them a stage has the threads that it has without Dask,
        # and so the same bytes.
        nannys = [*dask.config.get("distributed.nanny.pre-spawn-environ"), "PYTHONHASHSEED"]
        clone = Clone(
            tree=pack(repo),
            config=configuration(repo, remote),
            environment={name: os.environ.get(name) for name in nannys},
            work=None if remote else work,
            sources=[name for name, stage in by_name.items() if not stage.cmd],
            remote=remote,
        )
    if remote and tasks:
        share(
            Path.cwd(),
            [name for name, stage in by_name.items() if name not in changed and is_kept(stage)],
        )
    return clone, tasks


def pack(repo: Repo) -> bytes:
    """A tar file of what Git has or would add, as it is now, and of what else stages read."""
    root = Path(repo.root_dir)
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", ":!.work"]
    printed = subprocess.run(listing, cwd=root, check=True, capture_output=True, text=True).stdout
    outs = {out.fs_path for out in repo.index.outs}
    read = {dep.fs_path for dep in repo.index.deps if dep.protocol == "local"} - outs
    names = {name for name in printed.split("\0") if name}
    names |= {os.path.relpath(path, root) for path in read if Path(path).is_relative_to(root)}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in sorted(names):
            if (root / name).is_file():
                tar.add(root / name, name)
    return packed.getvalue()


def configuration(repo: Repo, remote: bool) -> str:
    """The `.dvc/config.local` of a clone: no Git, links in place of copies, and what is shared."""
    lines = ["[core]", "no_scm = true", "autostage = false", "[cache]"]
    lines += ["type = reflink,hardlink,symlink,copy"]
    if remote:
        name = repo.cloud.get_remote().name
        lines += [f"['remote \"{name}\"']", f'url = "{repo.config["remote"][name]["url"]}"']
    else:
        lines += [f'dir = "{repo.cache.local_cache_dir}"']
    return "\n".join(lines) + "\n"


def check_resources(client: Client, tasks: dict[str, Task]) -> None:
    """Raise an `InputError` for a stage for which no worker has what it asks for."""
    workers = [worker["resources"] for worker in client.scheduler_info()["workers"].values()]
    for name, task in tasks.items():
        wanted = task.resources.items()
        if not any(all(has.get(key, 0) >= value for key, value in wanted) for has in workers):
            asked = " ".join(f"{key}={value:g}" for key, value in wanted)
            raise InputError(
                f"no worker has {asked}, which `meta` in dvc.yaml asks for the stage {name}; start "
                f"one that has, by `dask worker --resources '{asked}'`, or change `meta`"
            )


def distribute(client: Client, clone: Clone, tasks: dict[str, Task]) -> None:
    """Run `tasks` on the workers of `client`, and print what they print.

    Raises:
        InputError: a stage failed or lost its worker too often, or no worker is fit for it.
    """
    check_resources(client, tasks)
    client.subscribe_topic(clone.name, lambda event: print(event[1], flush=True))
    client.register_plugin(clone)
    futures: dict[str, Future] = {}
    for name, task in tasks.items():
        futures[name] = client.submit(
            run_stage,
            clone.name,
            name,
            *[futures[need] for need in task.needs],
            key=f"{name} {clone.name}",
            resources=task.resources,
        )
    try:
        collect(futures)
    finally:
        client.unregister_worker_plugin(clone.name)


def run_stage(clone: str, stage: str, *needed: object) -> tuple[str, float]:
    return get_worker().plugins[clone].run(stage)


def collect(futures: dict[str, Future]) -> None:
    """Wait for all stages, and tell how each of them ended.

    Raises:
        InputError: some failed. What does not need them has run to its end.
    """
    names = {future.key: name for name, future in futures.items()}
    failed: list[str] = []
    for future in as_completed(futures.values()):
        error = future.exception()
        if error is None:
            address, seconds = future.result()
            print(f"{names[future.key]}: done after {seconds:.1f} s on {address}", flush=True)
            continue
        # That of the stage which began it, also in those that need it.
        if isinstance(error, subprocess.CalledProcessError):
            name, how = error.cmd, "failed"
        elif isinstance(error, KilledWorker):
            name, how = names[error.task], "took down every worker that it ran on"
        else:
            raise error
        if name not in failed:
            failed.append(name)
            print(f"{name}: {how}; what does not need it goes on", flush=True)
    if failed:
        raise InputError(
            f"{', '.join(sorted(failed))} failed, for the reason above; nothing has changed here, "
            "and what the others have done is in the run cache: mend it, and start again"
        )


def main(jobs: int | None, scheduler: str | None, shared_cache: bool) -> int:
    """Bring everything up to date.

    Returns:
        The exit status of the `dvc repro` at the end.

    Raises:
        InputError: a stage failed, or there is no cluster.
    """
    if jobs is not None and jobs < 1:
        raise InputError(f"{jobs} workers do nothing; let JOBS be 1 or more")
    remote = scheduler is not None and not shared_cache
    environment = os.environ | {"PATH": path()}  # Dask's nanny changes it
    clone, tasks = plan(remote)
    if tasks:
        with cluster(jobs, scheduler) as client:
            print(f"cluster: the dashboard is at {client.dashboard_link}", flush=True)
            distribute(client, clone, tasks)
    repro = ["repro", "--pull"] if remote else ["repro"]
    command = [sys.executable, "-m", "dvc", *repro]
    return subprocess.run(command, env=environment, check=False).returncode


@contextmanager
def cluster(jobs: int | None, scheduler: str | None) -> Iterator[Client]:
    """Workers of one's own, or those of a `scheduler`."""
    if scheduler is None:
        # Ctrl-C is for this process alone, which then ends the workers.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        own = LocalCluster(
            n_workers=jobs,
            threads_per_worker=1,
            memory_limit=0,  # Dask would count the worker's own, not that of its stage
            silence_logs=logging.CRITICAL,  # a stage that fails is no defect of Dask's
            local_directory=".work/cluster",
            dashboard_address="127.0.0.1:8787",
        )
        signal.signal(signal.SIGINT, handler)
        with own, Client(own) as client:
            yield client
        return
    try:
        client = Client(scheduler, timeout=10)
        client.wait_for_workers(1, timeout=60)
    except (OSError, TimeoutError, ValueError):  # ValueError: no such address can be
        raise InputError(
            f"no scheduler with a worker answers at {scheduler}; `dask scheduler` and "
            "`dask worker ADDRESS` start them"
        ) from None
    with client:
        yield client


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.cluster", description=__doc__)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--jobs", type=int, metavar="N", help="so many workers on this machine")
    where.add_argument("--scheduler", metavar="ADDRESS", help="of a cluster, as tcp://box:8786")
    parser.add_argument(
        "--shared-cache",
        action="store_true",
        help="the workers of the cluster see this clone's cache, by the same path",
    )
    arguments = parser.parse_args()
    try:
        sys.exit(main(**vars(arguments)))
    except (InputError, DvcException) as error:
        sys.exit(f"cluster: error: {error}")
    except KeyboardInterrupt:
        sys.exit("cluster: stopped; what has finished is in the run cache, for the next start")
