"""Whether Keras's backends agree: `python -m benchmarks.backends`.

LeNet-5 on the first fold of the sample of Fashion-MNIST, by the pipeline's own stages, with each
backend that is installed, from several seeds. It writes `benchmarks/backends.json`. Backends agree
if the means of their test accuracies differ by no more than two accuracies of one backend do, from
one seed to another; if they do not, the exit status is 1.
"""

import argparse
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmarks import machine
from stages.base.files import read_json, write_json, write_yaml
from tools import demo

FOLDER = Path(".work/backends")
TARGET = Path("benchmarks/backends.json")
BACKENDS = ("tensorflow", "jax", "torch")
CHANGES = {"lenet.study.epochs": 8, "lenet.study.batch_size": 32}
FOUND = {"units": 248, "learning_rate": 0.001}  # in place of what `tune` finds


def stage(*words: str, backend: str = "tensorflow") -> None:
    """Run a stage; it must end well."""
    command = [sys.executable, "-m", *words]
    environment = os.environ | {"KERAS_BACKEND": backend}
    with (FOLDER / "backends.log").open("ab") as log:
        done = subprocess.run(
            command, cwd=FOLDER, env=environment, check=False, stdout=log, stderr=subprocess.STDOUT
        )
    if done.returncode:
        sys.exit(f"backends: error: {' '.join(words)} failed with {backend}; see {log.name}")


def accuracy(backend: str, seed: int) -> float:
    """Of the test images."""
    demo.set_params(FOLDER, {"lenet.study.seed": seed})
    stage("stages.cv_lenet", "study", "1", backend=backend)
    stage("stages.evaluate_lenet", "study", "1", backend=backend)
    return read_json(FOLDER / "metrics/lenet/study-1/metrics.json")["test_accuracy"]


def verdict(accuracies: dict[str, list[float]]) -> dict[str, Any]:
    """Means, standard deviations, the largest difference of means, and the largest of seeds.

    Args:
        accuracies: by backend, the same number each, of at least two seeds.
    """
    means = {name: statistics.mean(found) for name, found in accuracies.items()}
    return {
        "mean": {name: round(mean, 4) for name, mean in means.items()},
        "standard_deviation": {
            name: round(statistics.stdev(found), 4) for name, found in accuracies.items()
        },
        "between_backends": round(max(abs(a - b) for a, b in combinations(means.values(), 2)), 4),
        "between_seeds": round(max(max(found) - min(found) for found in accuracies.values()), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.backends", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="two or more")
    seeds = parser.parse_args().seeds
    if len(seeds) < 2:
        parser.error("one seed does not tell how far two differ; name two or more")
    installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
    if len(installed) < 2:
        sys.exit(f"backends: error: only {installed[0]} is installed; `make bench` brings others")
    shutil.rmtree(FOLDER, ignore_errors=True)
    demo.copy_project(FOLDER)
    demo.make_small(FOLDER)
    demo.set_params(FOLDER, CHANGES)
    write_yaml(FOLDER / "metrics/hyperparameters.yaml", FOUND)
    for name in ("ingest", "clean", "encode"):
        stage(f"stages.{name}")

    accuracies: dict[str, list[float]] = {name: [] for name in installed}
    content: dict[str, Any] = {"machine": machine.describe()}
    for count, seed in enumerate(seeds, 1):
        for backend in installed:
            started = time.perf_counter()
            accuracies[backend].append(accuracy(backend, seed))
            seconds = time.perf_counter() - started
            print(
                f"{backend}, seed {seed}: {accuracies[backend][-1]:.3f} ({seconds:.0f} s)",
                flush=True,
            )
        if count > 1:
            content |= {"seeds": seeds[:count], "test_accuracy": accuracies} | verdict(accuracies)
            write_json(TARGET, content)
    print(
        f"means differ by at most {content['between_backends']:.3f}, seeds of one backend by "
        f"{content['between_seeds']:.3f}"
    )
    if content["between_backends"] > content["between_seeds"]:
        sys.exit("backends: error: the backends do not agree")


if __name__ == "__main__":
    main()
