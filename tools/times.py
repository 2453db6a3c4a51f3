"""How long each stage took when DVC last ran it here: `python -m tools.times`.

Where no stage ran yet, as in a fresh clone, it tells of the run that the repository holds.
`--save MACHINE` writes that down, in `stages/report/full_run.yaml`, which the report shows.

The time is that of the last process alone: of a training that was interrupted and went on, the
rest.
"""

import argparse
from pathlib import Path

import pandas as pd
import yaml

from stages.base.files import atomic_file, read_yaml
from stages.cli import TIMES
from stages.report.inputs import FULL_RUN


def here() -> dict[str, float]:
    """Seconds by stage, of what ran here last on the data source of now and is in `dvc.lock`."""
    if not (TIMES.exists() and TIMES.stat().st_size and Path("dvc.lock").exists()):
        return {}
    source = read_yaml("params.yaml")["data"]["source"]
    found = pd.read_csv(TIMES)
    last = found[found["source"] == source].drop_duplicates("stage", keep="last")
    last = last[last["stage"].isin(read_yaml("dvc.lock")["stages"])]
    return dict(last[["stage", "seconds"]].itertuples(index=False))


def anywhere() -> dict[str, float]:
    """The same, and of the repository's own run what never ran here."""
    return read_yaml(FULL_RUN)["seconds"] | here()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.times", description=__doc__)
    parser.add_argument("--save", metavar="MACHINE", help="what it ran on, in a few words")
    machine = parser.parse_args().save
    seconds = here()
    if not seconds:
        run = read_yaml(FULL_RUN)
        seconds = run["seconds"]
        print(f"No stage ran here yet. The repository's own run: {run['machine']}.")
    print(pd.Series(seconds, name="seconds").rename_axis("stage").reset_index().to_string(index=0))
    print(f"{sum(seconds.values()) / 60:.1f} minutes in all")
    if machine:
        run = {"machine": machine, "seconds": seconds}
        with atomic_file(FULL_RUN) as unfinished:
            unfinished.write_text(yaml.safe_dump(run, sort_keys=False), encoding="utf-8")
        print(f"{FULL_RUN} is written; `dvc repro` shows it in the report")


if __name__ == "__main__":
    main()
