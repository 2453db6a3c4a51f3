"""What DVC and its stages cost: `python -m benchmarks.whole`.

The demo by `dvc repro`, then `dvc repro` again with nothing to do, and the demo's trainings in one
plain script. It writes `benchmarks/whole.json`: seconds that passed, and seconds of work on all
cores, of which those of DVC's own process stand apart from those of the stages that it starts.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks import machine
from benchmarks.rounds import summary
from stages.cli import TIMES
from stages.common.files import write_json
from tools import demo

FOLDER = Path(".work/whole")
TARGET = Path("benchmarks/whole.json")
AGAIN = 5
# DVC in a process that says what it took itself, and what the processes took that it started.
MEASURED_DVC = """
import json, resource, sys
from dvc.cli import main
code = main(sys.argv[1:])
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps([each.ru_utime + each.ru_stime for each in used]))
sys.exit(code)
"""


def repro() -> dict[str, float]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED_DVC, "repro"],
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


def main() -> None:
    before = machine.load_average()
    shutil.rmtree(FOLDER, ignore_errors=True)
    demo.copy_project(FOLDER)
    demo.make_small(FOLDER)
    whole = repro()
    stages = pd.read_csv(FOLDER / TIMES).set_index("stage")["seconds"].to_dict()
    again = [repro() for _ in range(AGAIN)]
    script = plain()
    work = whole["dvc_cpu_seconds"] + whole["stages_cpu_seconds"]
    content: dict[str, Any] = {
        "machine": machine.describe(),
        "load_average": {"before": before, "after": machine.load_average()},
        "demo": whole,
        "seconds_within_stages": stages,
        "nothing_to_do": {key: summary([each[key] for each in again]) for key in again[0]},
        "plain_script": script,
        "demo_to_plain_script": {
            "seconds": whole["seconds"] / script["seconds"],
            "cpu_seconds": work / script["cpu_seconds"],
        },
        "dvcs_share_of_the_demo": whole["dvc_cpu_seconds"] / work,
    }
    write_json(TARGET, content)
    for name in ("demo", "nothing_to_do", "plain_script", "demo_to_plain_script"):
        print(name, content[name])
    print(f"DVC's share of the demo's work: {content['dvcs_share_of_the_demo']:.1%}")


if __name__ == "__main__":
    main()
