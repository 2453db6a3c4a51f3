"""From `study` to `improved`, step by step: `python -m tools.ablation queue|collect`.

`queue [NETWORK]` queues an experiment for each row of `tools/ablation.yaml` that has no experiment
yet; `dvc queue start` runs them. `collect` writes what they came to: `stages/report/ablation.csv`
and `seeds.csv`, which the report shows, and `docs/ablation.md`.
"""

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd
from dvc.repo import Repo
from dvc.scm import RevError

from stages.base.files import read_yaml
from stages.cli import InputError
from tools.demo import ROOT

PLAN = ROOT / "tools" / "ablation.yaml"
TABLES = ROOT / "stages" / "report"
STEPS = "ablation"
PAGE = ROOT / "docs" / "ablation.md"
METRICS = ["val_accuracy", "test_accuracy"]
INTRODUCTION = """\
# From `study` to `improved`, step by step

Each row keeps the changes of those above it, but for the last table, and is one experiment of
DVC's: the command in its place below the table repeats it. Two of ResNet50's rows were repeated
from a clean clone, with the same digits. LeNet-5 is trained on the first of its five folds here.
Where a row names several changes, they were tried together. `tools/ablation.py` queued the
experiments and wrote this page from them; [the trail](trail.md) has them as DVC shows them.\
"""


@dataclass(frozen=True)
class Row:
    table: str
    network: str
    change: str
    experiment: str  # its name, or HEAD where the commit itself has the result
    metrics: str
    arguments: list[str]  # of `dvc exp run`

    @property
    def command(self) -> str:
        return shlex.join(["dvc", "exp", "run", *self.arguments])


def rows() -> Iterator[Row]:
    """What the plan holds, each row with its settings and, unless `apart`, those above it."""
    for network, plan in read_yaml(PLAN).items():
        apart = plan.get("apart")
        short = apart or re.match("[a-z]+", network.lower())[0]
        settings: list[str] = []
        for number, row in enumerate(plan["rows"]):
            recipe = row.get("recipe")
            settings = ([] if apart else settings) + row.get("set", [])
            flags = [] if recipe else [part for setting in settings for part in ("-S", setting)]
            target, metrics = (
                plan[key].replace("RECIPE", recipe or "study") for key in ("target", "metrics")
            )
            name = "HEAD" if recipe else f"{short}-{number}"
            yield Row(apart or STEPS, network, row["change"], name, metrics, [*flags, target])


def queue(network: str | None) -> None:
    """Queue what no experiment has yet.

    Raises:
        InputError: no network of the plan has this name.
    """
    with Repo(str(ROOT)) as repo:
        known = {
            name for names in repo.experiments.ls(all_commits=True).values() for name, _ in names
        }
        known |= {task["name"] for task in repo.experiments.celery_queue.status()}
    chosen = [row for row in rows() if network in (None, row.network)]
    if not chosen:
        raise InputError(f"no {network!r} in {PLAN}; it has {', '.join(read_yaml(PLAN))}")
    for row in chosen:
        if row.experiment not in {"HEAD", *known}:
            command = [sys.executable, "-m", "dvc", "exp", "run", "--queue", "-n", row.experiment]
            subprocess.run([*command, *row.arguments], cwd=ROOT, check=True)


def collect() -> pd.DataFrame:
    """A row for each row of the plan, and in `table` which table it belongs to.

    Raises:
        InputError: an experiment is missing, or did not come to its end.
    """
    found = []
    with Repo(str(ROOT)) as repo:
        for row in rows():
            try:
                shown = repo.metrics.show(targets=[row.metrics], revs=[row.experiment])
            except RevError:
                shown = {}
            content = shown.get(row.experiment, {}).get("data", {}).get(row.metrics, {}).get("data")
            if not content:
                raise InputError(
                    f"the experiment {row.experiment} is missing or unfinished; "
                    "`python -m tools.ablation queue` and `dvc queue start` run it"
                )
            numbers = {name: content[name] for name in METRICS}
            found.append(
                {
                    "table": row.table,
                    "network": row.network,
                    "change": row.change,
                    **numbers,
                    "command": row.command,
                }
            )
    return pd.DataFrame(found)


def page(frame: pd.DataFrame) -> str:
    """`frame` in Markdown, a table for each network."""
    parts = [INTRODUCTION]
    for network, part in frame.groupby("network", sort=False):
        parts += [f"## {network}", "| change | validation | test |\n| --- | ---: | ---: |"]
        parts[-1] += "".join(
            f"\n| {change} | {100 * val:.2f} % | {100 * test:.2f} % |"
            for change, val, test in zip(
                part["change"], part["val_accuracy"], part["test_accuracy"], strict=True
            )
        )
        parts.append("```console\n" + "\n".join(f"$ {line}" for line in part["command"]) + "\n```")
    return "\n\n".join(parts) + "\n"


def main(action: str, network: str | None) -> None:
    if action == "queue":
        queue(network)
        return
    frame = collect()
    for table, part in frame.groupby("table"):
        part.drop(columns="table").to_csv(TABLES / f"{table}.csv", index=False)
    PAGE.write_text(page(frame), encoding="utf-8")
    print(
        f"ablation: {len(frame)} rows in {TABLES.relative_to(ROOT)}; `dvc repro report` shows them"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.ablation", description=__doc__)
    parser.add_argument("action", choices=["queue", "collect"])
    parser.add_argument("network", nargs="?", metavar="NETWORK", help="as the plan names it")
    arguments = parser.parse_args()
    try:
        main(arguments.action, arguments.network)
    except InputError as error:
        sys.exit(f"ablation: error: {error}")
