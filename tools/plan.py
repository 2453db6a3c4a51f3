"""What `dvc repro` would run, and about how long that takes: `python -m tools.plan`.

A stage is in the list too if DVC will find its results in the run cache, or its inputs unchanged.
Its time is that of its last run here. The repository's own run counts as well where the images are
those of that run, all of Fashion-MNIST. A stage that never ran is taken for as long as the mean of
the same stage's other recipes, folds or backbones.
"""

import signal
import sys
from collections.abc import Mapping
from statistics import mean

import networkx
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.stage import Stage

from stages.cli import InputError
from tools import times


def pending(repo: Repo) -> list[Stage]:
    """The stages that are not up to date, and all that follow from them, in DVC's order of a run.

    Raises:
        InputError: DVC sees no stages.
    """
    graph = repo.index.graph  # from a stage to those that it depends on
    if not graph:
        raise InputError(
            "DVC sees no stage: dvc.yaml is missing, or lies in a folder that a Git repository "
            "around it ignores; `git init` here makes it a repository of its own"
        )
    names = repo.status()
    changed = [stage for stage in graph if stage.addressing in names]
    follow = set(changed).union(*(networkx.ancestors(graph, stage) for stage in changed))
    return [stage for stage in networkx.dfs_postorder_nodes(graph) if stage in follow]


def estimate(stage: str, seconds: Mapping[str, float]) -> tuple[float | None, str]:
    """How many seconds a stage will take, None where nothing tells, and a remark on it.

    Args:
        seconds: by stage, of those that ran.
    """
    if stage in seconds:
        return seconds[stage], ""
    name = stage.partition("@")[0]
    alike = [taken for other, taken in seconds.items() if other.partition("@")[0] == name]
    if not alike:
        return None, "no time known"
    return mean(alike), f"never ran: mean of {len(alike)} other {name}"


def main() -> None:
    with Repo() as repo:
        stages = [stage.addressing for stage in pending(repo)]
        total = len(repo.index.stages)
    if not stages:
        print(f"Nothing to run: all {total} stages are up to date.")
        return
    seconds = times.known()
    estimates = {stage: estimate(stage, seconds) for stage in stages}
    minutes = sum(taken or 0 for taken, _ in estimates.values()) / 60
    unknown = sum(taken is None for taken, _ in estimates.values())
    print(
        f"To run: at most {len(stages)} of {total} stages, about {minutes:.1f} minutes"
        + (f" without the {unknown} of which no time is known." if unknown else ".")
    )
    print("minutes  stage")
    for stage, (taken, remark) in estimates.items():
        number = "?" if taken is None else f"{taken / 60:.1f}"
        print(f"{number:>7}  {stage}{f' ({remark})' if remark else ''}")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no error
    try:
        main()
    except (InputError, DvcException) as error:
        sys.exit(f"plan: error: {error}")
