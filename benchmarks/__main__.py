"""Measure the pipeline against its rivals: `python -m benchmarks`.

It writes `benchmarks/results.json` and prints the table in `docs/speed.md`. The rivals of a work
take turns, one at a time, round after round. Each turn has its own process and begins with one pass
that is not timed. A figure is a ratio within one round; the median and the range over the rounds
are kept, so that a machine whose speed drifts treats all rivals alike. A quiet machine is needed
all the same.
"""

import multiprocessing
import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.works import PIPELINE, TORCH, WORKS, Work, turn
from stages.base.files import write_json

TARGET = Path("benchmarks/results.json")
PACKAGES = ("tensorflow", "keras", "torch", "numpy")
ROUNDS = 3
SECONDS = 2  # the shortest turn


def measure(work: Work) -> list[dict[str, Any]]:
    """A row for each rival, as it goes into the JSON."""
    rounds = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as fresh:
        for number in range(ROUNDS):
            order = list(work.rivals.items())[:: -1 if number % 2 else 1]
            rounds.append(
                {name: fresh.apply(turn, (rival, work, SECONDS)) for name, rival in order}
            )
    rates = pd.DataFrame(rounds)
    ratios = (1 / rates).mul(rates[PIPELINE], axis="index")
    return [
        {
            "work": work.title,
            "rival": name,
            "images_a_second": float(f"{rates[name].median():.4g}"),
            "pipeline_times_as_fast": round(ratios[name].median(), 4),
            "lowest": round(ratios[name].min(), 4),
            "highest": round(ratios[name].max(), 4),
            "goal": None if name in (PIPELINE, TORCH) else work.goal,
        }
        for name in work.rivals
    ]


def table(content: dict[str, Any]) -> list[str]:
    """The lines of the table in docs/speed.md; a goal is met if every round meets it."""
    lines = ["| work | compared with | times as fast (range) | goal | met |", "| --- " * 5 + "|"]
    for row in content["rows"]:
        if row["rival"] == PIPELINE:
            continue
        median, lowest, highest = row["pipeline_times_as_fast"], row["lowest"], row["highest"]
        goal = met = "-"
        if row["goal"]:
            goal = row["goal"]
            met = "yes" if lowest >= goal else "no" if highest < goal else "unclear"
        measured = f"{median:.2f} ({lowest:.2f} to {highest:.2f})"
        lines.append(f"| {row['work']} | {row['rival']} | {measured} | {goal} | {met} |")
    return lines


def main() -> None:
    rows = []
    machine = {"system": f"{platform.system()} {platform.machine()}", "cores": os.cpu_count()}
    machine |= {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    content = {"date": str(date.today()), "machine": machine, "rounds": ROUNDS, "rows": rows}
    for work in WORKS:
        rows += measure(work)
        write_json(TARGET, content)  # after an interruption the finished works stay
        print(f"{work.title}: done", flush=True)
    print("\n".join(table(content)))


if __name__ == "__main__":
    main()
