"""What DVC and its stages cost: `python -m benchmarks.whole`.

The demo by `dvc repro` and its trainings in one plain script, in turns, and `dvc repro` again with
nothing to do. It writes `benchmarks/whole.json`: seconds that passed, and seconds of work on all
cores, of which those of DVC's own process stand apart from those of the stages that it starts.

DVC's share of a full run is an estimate. It is

    stages * (DVC's work in the demo / the demo's stages) + gigabytes * seconds for a gigabyte

to the sum of the times of the repository's own run. The gigabytes are those of all outputs in
`dvc.lock`; what DVC takes for one, to hash and to keep, is measured by `dvc add`. DVC's work in
the demo is the time of its process on a core, so what it waits for besides is not in it.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import machine
from benchmarks.rounds import summary
from stages.base.files import read_yaml, write_json
from stages.cli import TIMES
from stages.report.inputs import FULL_RUN
from tools import demo

FOLDER = Path(".work/whole")
TARGET = Path("benchmarks/whole.json")
LOCK = Path("dvc.lock")
AGAIN = 5
ADDED = 2**29  # bytes
# DVC in a process that says what it took itself, and what the processes took that it started.
MEASURED_DVC = """
import json, resource, sys
from dvc.cli import main
code = main(sys.argv[1:])
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps([each.ru_utime + each.ru_stime for each in used]))
sys.exit(code)
"""


def dvc(*arguments: str) -> dict[str, float]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED_DVC, *arguments],
        cwd=FOLDER,
        env=os.environ | {"PATH": path, "GIT_CEILING_DIRECTORIES": str(FOLDER.parent)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    seconds = time.perf_counter() - started
    own, stages = json.loads(done.stdout.splitlines()[-1])
    return {"seconds": seconds, "dvc_cpu_seconds": own, "stages_cpu_seconds": stages}


def plain() -> dict[str, float]:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "benchmarks.plain"], check=True)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    work = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu_seconds": work}


def seconds_for_a_gigabyte() -> float:
    (FOLDER / "random").write_bytes(os.urandom(ADDED))
    (FOLDER / "small").write_bytes(b"")
    large, small = (dvc("add", "--quiet", name)["seconds"] for name in ("random", "small"))
    return (large - small) / ADDED * 1e9


def full_run(a_stage: float) -> dict[str, float]:
    """What DVC takes of a full run, if it takes `a_stage` seconds for each stage, and hashes."""
    gigabytes = (
        sum(out["size"] for stage in read_yaml(LOCK)["stages"].values() for out in stage["outs"])
        / 1e9
    )
    run = read_yaml(FULL_RUN)["seconds"]
    rate = seconds_for_a_gigabyte()
    total = len(run) * a_stage + gigabytes * rate
    return {
        "gigabytes": gigabytes,
        "seconds_for_a_gigabyte": rate,
        "dvcs_seconds": total,
        "stages_seconds": sum(run.values()),
        "dvcs_share": total / (total + sum(run.values())),
    }


def whole_demo() -> dict[str, float]:
    shutil.rmtree(FOLDER, ignore_errors=True)
    demo.copy_project(FOLDER)
    demo.make_small(FOLDER)
    return dvc("repro")


def summaries(runs: list[dict[str, float]]) -> dict[str, Any]:
    return {key: summary([each[key] for each in runs]) for key in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="a demo and a script in each")
    rounds = parser.parse_args().rounds
    before = machine.load_average()
    demos, scripts = [], []
    for _ in range(rounds):
        demos.append(whole_demo())
        scripts.append(plain())
    stages = pd.read_csv(FOLDER / TIMES).set_index("stage")["seconds"].to_dict()
    again = [dvc("repro") for _ in range(AGAIN)]
    for each in demos:
        each["cpu_seconds"] = each["dvc_cpu_seconds"] + each["stages_cpu_seconds"]
    of_dvc = [each["dvc_cpu_seconds"] for each in demos]
    ratios = [
        {key: one[key] / other[key] for key in ("seconds", "cpu_seconds")}
        for one, other in zip(demos, scripts, strict=True)
    ]
    content: dict[str, Any] = {
        "machine": machine.describe(),
        "load_average": {"before": before, "after": machine.load_average()},
        "demo": summaries(demos),
        "seconds_within_stages": stages,
        "nothing_to_do": summaries(again),
        "plain_script": summaries(scripts),
        "demo_to_plain_script": summaries(ratios),
        "dvcs_share_of_the_demo": summary(
            [own / each["cpu_seconds"] for own, each in zip(of_dvc, demos, strict=True)]
        ),
        "full_run": full_run(statistics.median(of_dvc) / len(stages)),
    }
    write_json(TARGET, content)
    for name in ("demo", "nothing_to_do", "plain_script", "demo_to_plain_script"):
        print(name, content[name])
    print(f"DVC's share of the demo's work: {content['dvcs_share_of_the_demo']['median']:.1%}")
    print(f"DVC's share of a full run: {content['full_run']['dvcs_share']:.2%}")


if __name__ == "__main__":
    main()
