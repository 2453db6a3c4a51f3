"""How a stage is started from a shell, and how it says that its input is wrong."""

import argparse
import errno
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

TIMES = Path(".work/times.csv")
ARGUMENTS = {
    "recipe": "a key of the network's section in params.yaml, as `study`",
    "fold": "one of `cv.folds` in params.yaml",
    "name": "a key of the section of params.yaml that is named above",
    "head": "resnet or vgg",
}
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


class InputError(Exception):
    """The user's input is wrong. The message says what, where, and what to do about it."""


def run(main: Callable[..., object], **arguments: type) -> None:
    """Call `main` with the positional command line `arguments` (name=type).

    An `InputError` ends the process with exit status 1 and one line on standard error. So does a
    full disk, a folder that may not be written to, or too little memory. Ctrl-C is one line and
    status 130, as shells have it. Any other exception is a
    defect of the program and keeps its traceback. What DVC starts notes in `TIMES` when it was done
    and how long it took: a time cannot be in an output, which the same inputs must give again byte
    by byte.
    """
    started = time.monotonic()
    name = sys.modules["__main__"].__spec__.name.removesuffix(".__main__")
    parser = argparse.ArgumentParser(
        prog=f"python -m {name}", description=sys.modules["__main__"].__doc__
    )
    for argument, kind in arguments.items():
        parser.add_argument(argument, type=kind, help=ARGUMENTS[argument])
    try:
        main(**vars(parser.parse_args()))
        if stage := os.environ.get("DVC_STAGE"):
            _note_time(stage, time.monotonic() - started)
    except (InputError, OSError, MemoryError) as error:
        message = _message(error)
        if not message:
            raise
        sys.exit(f"{name.rpartition('.')[2]}: error: {message}")
    except KeyboardInterrupt:
        print(f"{name.rpartition('.')[2]}: interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def _message(error: Exception) -> str:
    """What to tell of an error that is the user's or the machine's; "" for a defect."""
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MemoryError) or error.errno == errno.ENOMEM:
        found = f" ({error})" if str(error) else ""
        return f"not enough memory{found}; end other programs, or take a machine that has more"
    place = error.filename or f"a file in {Path.cwd()}"
    if error.errno in FULL:
        return f"{place} cannot be written ({os.strerror(error.errno)}); make room, and run again"
    if error.errno in FORBIDDEN:
        reason = os.strerror(error.errno)
        return f"{place} may not be used ({reason}); change that, or work in another folder"
    # NumPy keeps back what the system said.
    if re.fullmatch(r"\d+ requested and \d+ written", str(error)):
        return f"{place} cannot be written ({error}: is the disk full?); make room, and run again"
    return ""


def _note_time(stage: str, seconds: float) -> None:
    TIMES.parent.mkdir(exist_ok=True)
    with TIMES.open("a", encoding="utf-8") as file:
        if not file.tell():
            file.write("finished,stage,seconds\n")
        file.write(f"{datetime.now():%Y-%m-%dT%H:%M:%S},{stage},{seconds:.1f}\n")
