"""How a stage is started from a shell, and how it says that its input is wrong."""

import argparse
import errno
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import yaml

TIMES = Path(".work/stage_times.csv")
ARGUMENTS = {
    "recipe": "a key of the network's section in params.yaml, as `study`",
    "fold": "one of `cv.folds` in params.yaml",
    "name": "a key of the section of params.yaml that is named above",
    "head": "resnet or vgg",
}
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# Types of TensorFlow and PyTorch, by their names because to load them takes long; and what JAX, and
# PyTorch on a CPU, say in an error of a type for everything.
OUT_OF_MEMORY = ("ResourceExhaustedError", "OutOfMemoryError")
OUT_OF_MEMORY_SAID = ("RESOURCE_EXHAUSTED", "can't allocate memory")
MOST_SAID = 200  # characters of what a library says
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)


class InputError(Exception):
    """The user's input is wrong. The message says what, where, and what to do about it."""


def run(main: Callable[..., object], **arguments: type) -> None:
    """Call `main` with the positional command line `arguments` (name=type).

    An `InputError` ends the process with exit status 1 and one line on standard error. So does a
    full disk, a folder that may not be written to, or too little memory. Ctrl-C is one line and
    status 130, as shells have it. Any other exception is a defect of the program and keeps its
    traceback. What DVC starts notes in `TIMES` when it was done, how long it took, and on which
    data: a time cannot be in an output, which the same inputs must give again byte by byte.
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
    except Exception as error:
        message = _message(error)
        if not message:
            raise
        print(f"{name.rpartition('.')[2]}: error: {message}", file=sys.stderr, flush=True)
        if _tells_of_a_full_disk(error):
            # HDF5 tries to write what it still holds once more, and ends the process as it fails.
            sys.stdout.flush()
            os._exit(1)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"{name.rpartition('.')[2]}: interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    if stage := os.environ.get("DVC_STAGE"):
        with suppress(OSError):  # the stage is done, whether its time can be noted or not
            _note_time(stage, time.monotonic() - started)


def _message(error: Exception) -> str:
    """What to tell of an error that is the user's or the machine's; "" for a defect."""
    if isinstance(error, InputError):
        return str(error)
    said = " ".join(str(error).split())
    number = getattr(error, "errno", None)
    place = getattr(error, "filename", None) or f"a file in {Path.cwd()}"
    if reason := _tells_of_a_full_disk(error):
        return f"{place} cannot be written ({reason}); make room, and run again"
    if (
        isinstance(error, MemoryError)
        or number == errno.ENOMEM
        or type(error).__name__ in OUT_OF_MEMORY
        or any(words in said for words in OUT_OF_MEMORY_SAID)
    ):
        found = f" ({said[:MOST_SAID]})" if said else ""
        return f"not enough memory{found}; end other programs, or take a machine that has more"
    if number in FORBIDDEN:
        reason = os.strerror(number)
        return f"{place} may not be used ({reason}); change that, or work in another folder"
    # NumPy keeps back what the system said.
    if re.fullmatch(r"\d+ requested and \d+ written", said):
        return f"{place} cannot be written ({said}: is the disk full?); make room, and run again"
    return ""


def _tells_of_a_full_disk(error: Exception) -> str:
    """What the system said; HDF5 and TensorFlow tell it in words alone. "" for another error."""
    number, said = getattr(error, "errno", None), str(error)
    found = (os.strerror(each) for each in FULL if each == number or os.strerror(each) in said)
    return next(found, "")


def _note_time(stage: str, seconds: float) -> None:
    source = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))["data"]["source"]
    TIMES.parent.mkdir(exist_ok=True)
    with TIMES.open("a", encoding="utf-8") as file:
        if not file.tell():
            file.write("finished,stage,seconds,source\n")
        file.write(f"{datetime.now():%Y-%m-%dT%H:%M:%S},{stage},{seconds:.1f},{source}\n")
