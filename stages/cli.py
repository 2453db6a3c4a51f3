"""How a stage is started from a shell, and how it says that its input is wrong."""

import argparse
import os
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

TIMES = Path(".work/times.csv")


class InputError(Exception):
    """The user's input is wrong. The message says what, where, and what to do about it."""


def run(main: Callable[..., object], **arguments: type) -> None:
    """Call `main` with the positional command line `arguments` (name=type).

    An `InputError` ends the process with exit status 1 and one line on standard error. Any other
    exception is a defect of the program and keeps its traceback. What DVC starts notes in `TIMES`
    when it was done and how long it took: a time cannot be in an output, which the same inputs must
    give again byte by byte.
    """
    started = time.monotonic()
    name = sys.modules["__main__"].__spec__.name.removesuffix(".__main__")
    parser = argparse.ArgumentParser(
        prog=f"python -m {name}", description=sys.modules["__main__"].__doc__
    )
    for argument, kind in arguments.items():
        parser.add_argument(argument, type=kind)
    try:
        main(**vars(parser.parse_args()))
    except InputError as error:
        sys.exit(f"{name.rpartition('.')[2]}: error: {error}")
    if stage := os.environ.get("DVC_STAGE"):
        _note_time(stage, time.monotonic() - started)


def _note_time(stage: str, seconds: float) -> None:
    TIMES.parent.mkdir(exist_ok=True)
    with TIMES.open("a", encoding="utf-8") as file:
        if not file.tell():
            file.write("finished,stage,seconds\n")
        file.write(f"{datetime.now():%Y-%m-%dT%H:%M:%S},{stage},{seconds:.1f}\n")
