"""How a stage is started from a shell, and how it says that its input is wrong."""

import argparse
import sys
from collections.abc import Callable


class InputError(Exception):
    """The user's input is wrong. The message says what, where, and what to do about it."""


def run(main: Callable[..., object], **arguments: type) -> None:
    """Call `main` with the positional command line `arguments` (name=type).

    An `InputError` ends the process with exit status 1 and one line on standard error. Any other
    exception is a defect of the program and keeps its traceback.
    """
    name = sys.modules["__main__"].__spec__.name
    parser = argparse.ArgumentParser(
        prog=f"python -m {name}", description=sys.modules["__main__"].__doc__
    )
    for argument, kind in arguments.items():
        parser.add_argument(argument, type=kind)
    try:
        main(**vars(parser.parse_args()))
    except InputError as error:
        sys.exit(f"{name.rpartition('.')[2]}: error: {error}")
