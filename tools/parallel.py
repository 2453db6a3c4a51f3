"""Run independent stages at the same time, with Dask: `python -m tools.parallel --jobs 2`.

Each task is `dvc repro --single-item STAGE` in this folder, which all workers see by the same path:
threads here, or with `--scheduler ADDRESS` those of a cluster with a shared file system. A stage
whose worker is lost runs on another. At the end `dvc.lock` is as after `dvc repro`.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.utils.serialize import modify_yaml

from stages import params
from stages.base.files import read_yaml
from stages.cli import InputError
from tools import plan

try:
    import dask
    import distributed
except ImportError:
    sys.exit("parallel: error: Dask is not installed; run `pip install '.[cluster]'`")


def reproduce(folder: str, stage: str, *needed: None) -> None:
    """Run one stage as DVC does; `--wait-for-lock` lets several of them share one lock.

    Raises:
        RuntimeError: it failed, for the reason in what it printed last.
    """
    # Dask's settings of threads are for what computes in its workers; a stage has its own process.
    dasks = dask.config.get("distributed.nanny.pre-spawn-environ")
    environment = {name: value for name, value in os.environ.items() if name not in dasks}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", "--single-item", stage]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    while True:
        printed = ""
        with subprocess.Popen(command, cwd=folder, env=environment, **pipe) as run:
            for line in run.stdout:
                print(line, end="", flush=True)
                printed = (printed + line)[-1000:]
        if not run.returncode:
            return
        if "is busy, it is being blocked by" not in printed:  # DVC, while another process runs it
            raise RuntimeError(f"{stage} failed:\n{printed}")
        time.sleep(5)  # until what a lost worker left behind has ended


def main(jobs: int, scheduler: str | None) -> str:
    """Bring up to date all stages that do not depend on a failed one; return what failed."""
    params.load()
    with Repo() as repo:
        stages, graph = plan.pending(repo), repo.index.graph
    lock = Path("dvc.lock")
    order = list(read_yaml(lock)["stages"]) if lock.exists() else []
    order += [stage.addressing for stage in stages if stage.addressing not in order]
    needs = {stage: (stage.meta or {}).get("resources", {}) for stage in stages}
    # This machine has what the neediest stage asks for.
    here = {name: max(n.get(name, 0) for n in needs.values()) for n in needs.values() for name in n}
    own = {"n_workers": 1, "threads_per_worker": jobs, "processes": False, "memory_limit": 0}
    own |= {"resources": here, "dashboard_address": None}
    futures = {}
    with distributed.Client(scheduler) if scheduler else distributed.Client(**own) as client:
        for stage in stages:
            after = [futures[other] for other in graph.successors(stage) if other in futures]
            task = (reproduce, os.getcwd(), stage.addressing, *after)
            futures[stage] = client.submit(*task, key=stage.addressing, resources=needs[stage])
        errors = {str(error) for future in futures.values() if (error := future.exception())}
    if lock.exists():
        with modify_yaml("dvc.lock") as content:
            written = content["stages"]
            content["stages"] = {name: written[name] for name in order if name in written}
    return "\n".join(f"parallel: error: {error}" for error in errors)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.parallel", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="stages at once")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="such as tcp://box:8786")
    try:
        sys.exit(main(**vars(parser.parse_args())) or None)
    except (InputError, DvcException, OSError) as error:  # OSError: no scheduler answers
        sys.exit(f"parallel: error: {error}")
