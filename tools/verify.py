"""Do the same inputs give the same bytes here? `python -m tools.verify [STAGE]`.

With STAGE, such as cv_lenet@study-1, that stage runs again, in a scratch copy beside the hashes in
`dvc.lock`; DVC's cache must have what the stage reads. Without, the demo's whole pipeline runs
three times from nothing, in folders of different names. The second run has as many threads as the
first, and must give the same bytes. The third has one thread: what differs then is told, with how
far the metrics move, and is no failure.
"""

import argparse
import shutil
import sys
from pathlib import Path

from dvc.repo import Repo

from stages.base.files import read_json, read_yaml
from stages.cli import InputError
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


def run_demo(name: str, environment: dict[str, str]) -> Path:
    """Run the demo from nothing in a folder of that name, and return the folder."""
    folder = FOLDER / name
    demo.copy_project(folder)
    demo.make_small(folder)
    if demo.dvc(folder, "repro", check=False, more=environment).returncode:
        raise InputError(f"the demo did not run to its end in {folder}")
    return folder


def every_hash(folder: Path) -> Hashes:
    lock = folder / "dvc.lock"
    found = [hashes(lock, stage) for stage in read_yaml(lock)["stages"]]
    return {path: md5 for each in found for path, md5 in each.items()}


def compare(before: Hashes, after: Hashes) -> None:
    """Print each output with the verdict.

    Raises:
        InputError: some differ.
    """
    for path, found in before.items():
        print(f"{'same' if found == after.get(path) else 'OTHER'}  {path}")
    differing = [path for path, found in before.items() if found != after.get(path)]
    if differing:
        raise InputError(
            f"{len(differing)} of {len(before)} outputs have other bytes; both runs lie in {FOLDER}"
        )


def sources(before: Path, after: Path) -> list[str]:
    """The stages that made other outputs of the same inputs in `after` than in `before`."""
    first, second = (read_yaml(folder / "dvc.lock")["stages"] for folder in (before, after))
    return [
        stage
        for stage, found in first.items()
        if found["deps"] == second[stage]["deps"] and found["outs"] != second[stage]["outs"]
    ]


def moved(before: Path, after: Path) -> list[str]:
    """How far the metrics of `after` are from those of `before`.

    A line for each file and kind of metric: the one that differs most, and both numbers.
    """
    lines = []
    for path in sorted((before / "metrics").rglob("*.json")):
        name = path.relative_to(before)
        first, second = read_json(path), read_json(after / name)
        for kind in ("accuracy", "loss"):
            gaps = {key: abs(second[key] - first[key]) for key in first if key.endswith(kind)}
            most = max(gaps, key=gaps.get, default=None)
            if most and gaps[most]:
                lines.append(
                    f"{name}: {kind} by up to {gaps[most]:.2g} "
                    f"({most}: {first[most]}, then {second[most]})"
                )
    return lines


def tell_of_one_thread(before: Path, after: Path) -> None:
    """Print what one thread changes: the outputs, where that begins, and the metrics."""
    first, second = every_hash(before), every_hash(after)
    differing = [path for path, found in first.items() if found != second.get(path)]
    print(f"verify: with one thread {len(differing)} of {len(first)} outputs have other bytes")
    for path in differing:
        print(f"other with one thread  {path}")
    if differing:
        print(f"it begins in  {', '.join(sources(before, after))}")
    for line in moved(before, after):
        print(f"moved  {line}")


def main(stage: str | None) -> None:
    """Say whether the bytes are the same.

    Raises:
        InputError: some differ with the same number of threads, or a stage is unknown or fails.
    """
    shutil.rmtree(FOLDER, ignore_errors=True)
    if stage:
        before, after = again(stage)
        compare(before, after)
    else:
        first = run_demo("first", {})
        before = every_hash(first)
        compare(before, every_hash(run_demo("the second, by another name", {})))
        tell_of_one_thread(first, run_demo("one thread", ONE_THREAD))
    shutil.rmtree(FOLDER)
    which = "" if stage else " with the same number of threads"
    print(f"verify: all {len(before)} outputs have the same bytes{which}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.verify", description=__doc__)
    parser.add_argument("stage", nargs="?", metavar="STAGE", help="as dvc.lock names it")
    try:
        main(parser.parse_args().stage)
    except InputError as error:
        sys.exit(f"verify: error: {error}")
