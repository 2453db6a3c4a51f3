"""Measure: `python -m benchmarks [--long] [NAME ...]`; it prints a table.

It writes `benchmarks/short.json` and `.png`, or with `--long` `benchmarks/long.json` and `.png`,
after each piece of work anew: broken off, it leaves what it has. Names of works measure these
alone, into `benchmarks/some.json` and `.png`. Every figure is a ratio within one run on this
machine: beside other work all rivals are slower, and their ratios hold, if less exactly.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks import accelerators, features, heads, lenet, machine, rounds, show, transfer
from stages.base.files import write_json

USUAL = lenet.WORKS | heads.WORKS | transfer.WORKS | features.WORKS
WORKS = USUAL | accelerators.WORKS
FOLDER = Path("benchmarks")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(WORKS)}")
    parser.add_argument("--long", action="store_true", help="the other usual works too")
    parser.add_argument("--rounds", type=int, help="3, or 5 with --long")
    parser.add_argument("--seconds", type=float, default=2.0, help="that a turn lasts at least")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(WORKS)):
        parser.error(f"no work {', '.join(unknown)}; there are {', '.join(WORKS)}")
    names = arguments.names or [name for name in USUAL if arguments.long or USUAL[name].short]
    count = arguments.rounds or (5 if arguments.long else 3)

    target = FOLDER / ("some" if arguments.names else "long" if arguments.long else "short")
    content: dict[str, Any] = {"machine": machine.describe(), "rounds": count, "works": {}}
    for name in names:
        before = machine.load_average()
        found = rounds.run(WORKS[name], count, arguments.seconds)
        found["load_average"] = {"before": before, "after": machine.load_average()}
        content["works"][name] = found
        print(show.table(found), flush=True)
        write_json(target.with_suffix(".json"), content)
    print(f"{target}.json is written")
    if show.picture(content, target.with_suffix(".png")):
        print(f"{target}.png is written")


if __name__ == "__main__":
    main()
