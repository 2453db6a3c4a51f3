"""How long each stage took when DVC last ran it here: `python -m tools.times`.

Where no stage ran yet, as in a fresh clone, it tells of the run that the repository holds.
`--save MACHINE` writes the times down for the report, in `metrics/full_run.yaml`. Of a training
that was interrupted and went on, the time is that of the last process alone.
"""

import argparse
import signal
from pathlib import Path

import pandas as pd
import yaml

from stages.base.files import read_yaml
from stages.cli import TIMES

FULL_RUN = Path("metrics/full_run.yaml")


def here() -> dict[str, float]:
    """Seconds by stage, of what ran here last on the data source of now and is in `dvc.lock`."""
    if not (TIMES.exists() and Path("dvc.lock").exists()):
        return {}
    runs = pd.read_csv(TIMES)
    runs = runs[runs["source"] == read_yaml("params.yaml")["data"]["source"]]
    last = runs.drop_duplicates("stage", keep="last").set_index("stage")["seconds"].to_dict()
    return {stage: last[stage] for stage in read_yaml("dvc.lock")["stages"] if stage in last}


def known() -> dict[str, float]:
    """The same, and on all of Fashion-MNIST also what only the repository's own run had."""
    own = read_yaml("params.yaml")["data"]["source"] == "fashion_mnist"
    return (read_yaml(FULL_RUN)["seconds"] if own else {}) | here()


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no error
    parser = argparse.ArgumentParser(prog="python -m tools.times", description=__doc__)
    parser.add_argument("--save", metavar="MACHINE", help="what it ran on, in a few words")
    machine = parser.parse_args().save
    seconds = here()
    if machine:
        run = {"machine": machine, "seconds": seconds}
        FULL_RUN.write_text(yaml.safe_dump(run, sort_keys=False), encoding="utf-8")
    elif not seconds:
        run = read_yaml(FULL_RUN)
        seconds = run["seconds"]
        print(f"No stage ran here yet. The repository's own run: {run['machine']}.")
    print(pd.Series(seconds, name="seconds").rename_axis("stage").reset_index().to_string(index=0))
    print(f"{sum(seconds.values()) / 60:.1f} minutes in all")
