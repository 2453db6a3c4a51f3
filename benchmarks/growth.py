"""How memory and time of every stage grow with the images: `python -m benchmarks.growth`.

The demo's pipeline on the sample, repeated 1, 4 and 16 times with noise, stage after stage without
DVC. It writes `benchmarks/growth.json` and `growth.png`: the highest resident memory of a stage's
process (Linux counts the parts of memory-mapped files that it touched too, which it gives up when
memory is short), the seconds that passed, and the seconds of its work on all cores, which other
work on the machine changes least.
"""

import argparse
import hashlib
import json
import shlex
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import networkx
import numpy as np
from dvc.repo import Repo

from benchmarks import machine
from stages.base.classes import FASHION_MNIST
from stages.base.files import write_json
from stages.base.images import SIDE, SPLITS
from stages.sources import sample
from tools import demo

FOLDER = Path(".work/growth")
TARGET = Path("benchmarks/growth.json")
NOISE = 4  # grey values of 255, so that no row is a copy of another
# One short training of each kind; how often a stage passes over the images is no question here.
CHANGES = {
    "tune.algorithm": "random",
    "tune.max_trials": 1,
    "tune.max_epochs": 1,
    "tune.batch_size": 64,
    "lenet.study.epochs": 1,
    "lenet.study.batch_size": 64,
    "resnet.study.epochs": 1,
    "vgg.study.epochs": 1,
}
# To a process Linux counts what its parent held when it was started, so the parent is a small one.
MEASURED = """
import json, os, resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps([used.ru_maxrss, used.ru_utime + used.ru_stime]))
sys.exit(code)
"""


def write_idx(path: Path, array: np.ndarray) -> dict[str, str]:
    """Write bytes in the IDX format; what `data.idx` in the params says of the file."""
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(content)
    return {"path": path.name, "sum": f"sha256:{hashlib.sha256(content).hexdigest()}"}


def prepare(folder: Path, times: int) -> int:
    """A copy of the project, as the demo makes it, on so many times the sample's images.

    Returns:
        how many images there are.
    """
    shutil.rmtree(folder, ignore_errors=True)
    demo.copy_project(folder)
    demo.make_small(folder)
    random = np.random.default_rng(0)
    files, count = {}, 0
    for split in SPLITS:
        image_set = sample.read(split)
        images = np.tile(image_set.images, (times, 1, 1)).astype(np.int16)
        images += random.integers(-NOISE, NOISE + 1, images.shape, np.int16)
        count += len(images)
        name = folder / f"{split}-images"
        files[f"{split}_images"] = write_idx(name, images.clip(0, 255))
        labels = np.tile(image_set.labels, times)
        files[f"{split}_labels"] = write_idx(folder / f"{split}-labels", labels)
    data = {"data.source": "idx", "data.idx": files, "data.classes": list(FASHION_MNIST)}
    demo.set_params(folder, CHANGES | data)
    return count


def stages_in_order(folder: Path) -> list[tuple[str, str]]:
    """Every stage's name and command, each after those that it depends on."""
    with Repo(str(folder)) as repo:
        order = networkx.topological_sort(repo.index.graph.reverse())
        return [(stage.name, stage.cmd) for stage in order]


def run(command: str, folder: Path) -> dict[str, float]:
    """Run a stage; it must end well."""
    words = shlex.split(command)
    words[0] = sys.executable  # for `python`
    started = time.perf_counter()
    with (folder / "growth.log").open("ab") as log:
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *words],
            cwd=folder,
            check=False,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    if done.returncode:
        sys.exit(f"growth: error: {command} failed in {folder}; growth.log there says why")
    peak, cpu_seconds = json.loads(done.stdout)
    kilobyte = 1 if sys.platform == "darwin" else 1024
    return {
        "peak_mib": round(peak * kilobyte / 2**20, 1),
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(cpu_seconds, 2),
    }


def held(sizes: dict[str, Any], stage: str) -> float:
    """What a further image costs in memory, between the two largest sizes, in float32 images.

    So 1 is the training set and the test set once in float32, and a fourth of it once in bytes.
    """
    points = [(each["images"], each["stages"][stage]["peak_mib"]) for each in sizes.values()]
    (fewer, low), (more, high) = sorted(points)[-2:]
    return (high - low) * 2**20 / ((more - fewer) * SIDE * SIDE * 4)


def table(sizes: dict[str, Any]) -> str:
    """In Markdown, a row a stage."""
    times = ", ".join(sizes)
    lines = [
        f"| stage | peak MiB at {times} times | held | seconds of work at {times} times |",
        "| --- | ---: | ---: | ---: |",
    ]
    for stage in next(iter(sizes.values()))["stages"]:
        cells = [each["stages"][stage] for each in sizes.values()]
        peaks = ", ".join(f"{cell['peak_mib']:,.0f}" for cell in cells)
        seconds = ", ".join(f"{cell['cpu_seconds']:,.1f}" for cell in cells)
        lines.append(f"| `{stage}` | {peaks} | {held(sizes, stage):.1f} | {seconds} |")
    return "\n".join(lines)


def picture(sizes: dict[str, Any], path: Path) -> None:
    """Memory and work over the number of images, a line a stage."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    images = [each["images"] for each in sizes.values()]
    labels = {"peak_mib": "peak MiB", "cpu_seconds": "seconds of work"}
    for axes, (key, label) in zip(panels, labels.items(), strict=True):
        for number, stage in enumerate(next(iter(sizes.values()))["stages"]):
            values = [each["stages"][stage][key] for each in sizes.values()]
            style = ("-", "--", ":")[number // 10 % 3]
            axes.plot(images, values, style, marker=".", label=stage)
        axes.set(xscale="log", yscale="log", xlabel="images", ylabel=label)
        axes.set_xticks(images, [f"{count:,}" for count in images])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside center right", fontsize=7)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4, 16])
    sizes: dict[str, Any] = {}
    before = machine.load_average()
    for times in parser.parse_args().times:
        folder = FOLDER / str(times)
        count = prepare(folder, times)
        found = {}
        for name, command in stages_in_order(folder):
            found[name] = run(command, folder)
            print(f"{times} x {name}: {found[name]}", flush=True)
        sizes[str(times)] = {"images": count, "stages": found}
        load = {"before": before, "after": machine.load_average()}
        write_json(TARGET, {"machine": machine.describe(), "load_average": load, "sizes": sizes})
        shutil.rmtree(folder)
    if len(sizes) > 1:
        print(table(sizes))
        picture(sizes, TARGET.with_suffix(".png"))


if __name__ == "__main__":
    main()
