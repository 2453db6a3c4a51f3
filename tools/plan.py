"""What `dvc repro` would run, and about how long that takes: `python -m tools.plan`.

The list includes stages whose results are in the run cache or whose inputs turn out unchanged.
A stage's time is that of its last run here. The repository's own run counts as well if the images
are all of Fashion-MNIST, as in that run. A stage that never ran counts as the mean of the same
stage's other recipes, folds or backbones.

`--save MACHINE` instead writes the times of the last runs here to `metrics/full_run.yaml`, for the
report. For an interrupted and resumed training, only the time of the last process counts.
"""

import argparse
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import mean

import networkx
import pandas as pd
import yaml
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage import Stage

from stages import params
from stages.base.files import read_yaml
from stages.cli import TIMES, InputError

FULL_RUN = Path("metrics/full_run.yaml")


def pending(repo: Repo) -> list[Stage]:
    """The stages that are not up to date and all that depend on them, in the order of DVC's run.

    Raises:
        InputError: DVC sees no stages.
    """
    graph = repo.index.graph  # from a stage to those that it depends on
    if not graph:
        raise InputError(
            "DVC sees no stage: dvc.yaml is missing, or is in a folder that a Git repository "
            "around it ignores; `git init` here makes it a separate repository"
        )
    names = repo.status()
    changed = [stage for stage in graph if stage.addressing in names]
    follow = set(changed).union(*(networkx.ancestors(graph, stage) for stage in changed))
    return [stage for stage in networkx.dfs_postorder_nodes(graph) if stage in follow]


def times(source: str) -> dict[str, float]:
    """Seconds by stage of `dvc.lock`, for the last run here on the data source."""
    if not (TIMES.exists() and Path("dvc.lock").exists()):
        return {}
    runs = pd.read_csv(TIMES)
    runs = runs[runs["source"] == source].drop_duplicates("stage", keep="last")
    last = dict(zip(runs["stage"], runs["seconds"], strict=True))
    return {stage: last[stage] for stage in read_yaml("dvc.lock")["stages"] if stage in last}


def estimate(stage: str, seconds: Mapping[str, float]) -> float | None:
    """Seconds that a stage will take, estimated from those of past runs; None: unknown."""
    name = stage.partition("@")[0]
    alike = [taken for other, taken in seconds.items() if other.partition("@")[0] == name]
    return seconds.get(stage, mean(alike) if alike else None)


def main(machine: str | None) -> None:
    source = params.load().data.source
    seconds = times(source)
    if machine:
        run = {"machine": machine, "seconds": seconds}
        FULL_RUN.write_text(yaml.safe_dump(run, sort_keys=False), encoding="utf-8")
        return
    if source == "fashion_mnist":
        seconds = read_yaml(FULL_RUN)["seconds"] | seconds
    with Repo() as repo:
        stages = [stage.addressing for stage in pending(repo)]
        total = len(repo.index.stages)
    if not stages:
        print(f"Nothing to run: all {total} stages are up to date.")
        return
    minutes = pd.Series({stage: estimate(stage, seconds) for stage in stages}, dtype=float) / 60
    unknown = minutes.isna().sum()
    print(
        f"To run: at most {len(stages)} of {total} stages, about {minutes.sum():.1f} minutes"
        + (f", not counting {unknown} without a known time." if unknown else ".")
    )
    print(minutes.to_string(float_format="%.1f", na_rep="?"))


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is not an error
    parser = argparse.ArgumentParser(prog="python -m tools.plan", description=__doc__)
    parser.add_argument("--save", dest="machine", metavar="MACHINE", help="its description")
    try:
        main(**vars(parser.parse_args()))
    except (InputError, DvcException) as error:
        sys.exit(f"plan: error: {error}")
