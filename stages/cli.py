"""How a stage is started from a shell, and how it says that its input is wrong."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

TIMES = Path(".work/stage_times.csv")


class InputError(Exception):
    """The user's input is wrong. The message says what, where, and what to do about it."""


def run(main: Callable[..., object], **arguments: type) -> None:
    """Call `main` with the positional command line `arguments` (name=type).

    An `InputError` ends the process with its message on standard error and exit status 1, Ctrl-C
    with one line and status 130, as shells have it; any other exception keeps its traceback.
    """
    started = time.monotonic()
    module = sys.modules["__main__"]
    name = module.__spec__.name.removesuffix(".__main__")
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=module.__doc__)
    for argument, kind in arguments.items():
        parser.add_argument(argument, type=kind)
    try:
        main(**vars(parser.parse_args()))
    except InputError as error:
        sys.exit(f"{name.rpartition('.')[2]}: error: {error}")
    except KeyboardInterrupt:
        print(f"{name.rpartition('.')[2]}: interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    if stage := os.environ.get("DVC_STAGE"):
        with suppress(OSError, InputError):  # the stage is done, whether this can be noted or not
            _note_time(stage, time.monotonic() - started)


def _note_time(stage: str, seconds: float) -> None:
    """In a file of its own: the same inputs must give the same outputs, byte by byte."""
    from stages import params  # which imports this module

    source = params.load().data.source
    TIMES.parent.mkdir(exist_ok=True)
    with TIMES.open("a", encoding="utf-8") as file:
        if not file.tell():
            file.write("finished,stage,seconds,source\n")
        file.write(f"{datetime.now():%Y-%m-%dT%H:%M:%S},{stage},{seconds:.1f},{source}\n")
