"""How long each stage took when DVC last ran it here: `python -m benchmarks.times`.

With `--save MACHINE` the times go into `docs/full_run.yaml` too, which the report shows: for who
commits a run of the whole study.
"""

import argparse
import sys

import pandas as pd
import yaml

from stages.common.command import TIMES
from stages.common.files import whole_file
from stages.common.report import FULL_RUN


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.times", description=__doc__)
    parser.add_argument("--save", metavar="MACHINE", help="what it ran on, in a few words")
    machine = parser.parse_args().save
    if not TIMES.exists():
        sys.exit("times: error: no stage ran here yet; `dvc repro` runs them and notes their times")
    last = pd.read_csv(TIMES).drop_duplicates("stage", keep="last")
    print(last.to_string(index=False))
    print(f"{last['seconds'].sum() / 60:.1f} minutes in all")
    if machine:
        seconds = dict(zip(last["stage"], last["seconds"], strict=True))
        with whole_file(FULL_RUN) as unfinished:
            text = yaml.safe_dump({"machine": machine, "seconds": seconds}, sort_keys=False)
            unfinished.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
