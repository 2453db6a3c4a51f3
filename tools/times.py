"""How long each stage took when DVC last ran it here: `python -m tools.times`.

Where no stage ran yet, as in a fresh clone, it tells of the run that the repository holds.
`--save MACHINE` writes that down, in `docs/full_run.yaml`, which the report shows.

The time is that of the last process alone: of a search that was interrupted and went on, the rest.
"""

import argparse

import pandas as pd
import yaml

from stages.cli import TIMES
from stages.common.files import read_yaml, atomic_file
from stages.common.report import FULL_RUN


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.times", description=__doc__)
    parser.add_argument("--save", metavar="MACHINE", help="what it ran on, in a few words")
    machine = parser.parse_args().save
    if TIMES.exists():
        last = pd.read_csv(TIMES).drop_duplicates("stage", keep="last")
        last = last[last["stage"].isin(read_yaml("dvc.lock")["stages"])]
    else:
        run = read_yaml(FULL_RUN)
        last = pd.DataFrame(run["seconds"].items(), columns=["stage", "seconds"])
        print(f"No stage ran here yet. The repository's own run: {run['machine']}.")
    print(last.to_string(index=False))
    print(f"{last['seconds'].sum() / 60:.1f} minutes in all")
    if machine:
        seconds = dict(last[["stage", "seconds"]].itertuples(index=False))
        run = {"machine": machine, "seconds": seconds}
        with atomic_file(FULL_RUN) as unfinished:
            unfinished.write_text(yaml.safe_dump(run, sort_keys=False), encoding="utf-8")
        print(f"{FULL_RUN} is written; `dvc repro` shows it in the report")


if __name__ == "__main__":
    main()
