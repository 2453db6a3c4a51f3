"""What `dvc repro` would run, and about how long that took last time: `python -m tools.plan`.

A stage is in the list too if DVC will find its results in the run cache, or its inputs unchanged.
"""

import networkx
from dvc.repo import Repo

from tools.times import anywhere


def pending(repo: Repo) -> list[str]:
    """The stages that are not up to date, and all that follow from them, in the order of a run."""
    graph = repo.index.graph  # from a stage to those that it depends on
    changed = repo.status()
    begin = [stage for stage in graph if stage.addressing in changed]
    found = set(begin).union(*(networkx.ancestors(graph, stage) for stage in begin))
    order = list(networkx.topological_sort(graph.reverse()))
    return [stage.addressing for stage in order if stage in found]


def main() -> None:
    with Repo() as repo:
        stages = pending(repo)
        total = len(repo.index.stages)
    if not stages:
        return
    seconds = anywhere()
    unknown = [stage for stage in stages if stage not in seconds]
    minutes = sum(seconds.get(stage, 0) for stage in stages) / 60
    print(f"To run: at most {len(stages)} of {total} stages, {', '.join(stages)}.")
    print(
        f"When they ran last they took {minutes:.1f} minutes"
        + (f"; {len(unknown)} of them never ran." if unknown else ".")
    )


if __name__ == "__main__":
    main()
