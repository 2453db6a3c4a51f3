"""Do the same inputs give the same bytes here? `python -m tools.verify [STAGE]`.

With STAGE, such as cv_lenet@study-1, that stage runs again, in a scratch copy beside the hashes in
`dvc.lock`; DVC's cache must have what the stage reads. Without, the demo's whole pipeline runs
twice from nothing, in folders of different names, the second time with one thread.
"""

import argparse
import shutil
import sys
from pathlib import Path

from dvc.repo import Repo

from stages.cli import InputError
from stages.common.files import read_yaml
from tools import demo

FOLDER = demo.ROOT / ".work" / "verify"
# TensorFlow's, the BLAS libraries' and JAX's.
ONE_THREAD = {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}

Hashes = dict[str, str]  # of each output, by its path


def hashes(lock: Path, stage: str) -> Hashes:
    """What `lock` gives for each output of `stage`."""
    found = read_yaml(lock)["stages"].get(stage)
    if not found:
        raise InputError(f"{lock} has no stage {stage!r}; name one that it has, as it is there")
    return {out["path"]: out["md5"] for out in found["outs"]}


def again(stage: str) -> tuple[Hashes, Hashes]:
    """The hashes in `dvc.lock`, and those of another run of `stage`."""
    before = hashes(demo.ROOT / "dvc.lock", stage)
    folder = FOLDER / "again"
    demo.copy_project(folder, results=True)
    with Repo(str(demo.ROOT)) as repo:
        cache = repo.cache.local_cache_dir
        cached = {out.def_path for each in repo.index.stages for out in each.outs if out.use_cache}
        read = {dep.def_path for dep in repo.stage.load_one(name=stage).deps} & cached
    demo.dvc(folder, "cache", "dir", "--quiet", "--local", cache)
    run = ("repro", "--single-item", "--force", "--no-run-cache", stage)
    for command in ([("checkout", *sorted(read))] if read else []) + [run]:
        if demo.dvc(folder, *command, check=False).returncode:
            raise InputError(f"{stage} did not run to its end; what was said stands above")
    return before, hashes(folder / "dvc.lock", stage)


def twice() -> tuple[Hashes, Hashes]:
    """The hashes of every output of the demo, of two runs from nothing."""
    found = []
    for name, environment in (("first", {}), ("the second, by another name", ONE_THREAD)):
        folder = FOLDER / name
        demo.copy_project(folder)
        demo.make_small(folder)
        if demo.dvc(folder, "repro", check=False, more=environment).returncode:
            raise InputError(f"the demo did not run to its end in {folder}")
        lock = folder / "dvc.lock"
        stages = read_yaml(lock)["stages"]
        found.append({k: v for stage in stages for k, v in hashes(lock, stage).items()})
    return found[0], found[1]


def main(stage: str | None) -> None:
    """Print each output with the verdict.

    Raises:
        InputError: some differ, or a stage is unknown or fails.
    """
    shutil.rmtree(FOLDER, ignore_errors=True)
    before, after = again(stage) if stage else twice()
    for path, found in before.items():
        print(f"{'same' if found == after.get(path) else 'OTHER'}  {path}")
    differing = [path for path, found in before.items() if found != after.get(path)]
    if differing:
        raise InputError(
            f"{len(differing)} of {len(before)} outputs have other bytes; both runs lie in {FOLDER}"
        )
    shutil.rmtree(FOLDER)
    print(f"verify: all {len(before)} outputs have the same bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.verify", description=__doc__)
    parser.add_argument("stage", nargs="?", metavar="STAGE", help="as dvc.lock names it")
    try:
        main(parser.parse_args().stage)
    except InputError as error:
        sys.exit(f"verify: error: {error}")
