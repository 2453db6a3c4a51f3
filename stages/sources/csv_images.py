"""Images as a CSV table of 785 columns: `label,pixel1,...,pixel784`, one image a row."""

import csv
import warnings
from pathlib import Path

import numpy as np

from stages.base.images import SIDE, ImageSet
from stages.cli import InputError

COLUMNS = ["label", *(f"pixel{number}" for number in range(1, SIDE * SIDE + 1))]
FORM = (
    "data.csv in params.yaml must name tables with the header label,pixel1,...,pixel784 and an "
    "image in each row"
)


def read(path: Path, classes: tuple[str, ...]) -> ImageSet:
    """Read and check a table.

    Raises:
        InputError: no such file, or no table; a missing, surplus or misplaced column; no row; a
            cell that is empty, no whole number, or out of range. Lines count from 1, the header's;
            blank ones do not count.
    """
    try:
        with path.open(encoding="utf-8-sig") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that there is no row
            header = next(csv.reader([file.readline()]), [])
            # Fractions and what is out of range are read too, so that they can be told of.
            values = np.loadtxt(
                file, np.float32, delimiter=",", comments=None, quotechar='"', ndmin=2
            )
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table ({error}); {FORM}") from None
    if header != COLUMNS or values.shape[1] != len(COLUMNS):
        raise InputError(f"{path} has another header, longer rows, or none; {FORM}")
    highest = np.full(len(COLUMNS), 255)
    highest[0] = len(classes) - 1
    right = (values >= 0) & (values <= highest) & (values == np.floor(values))
    if not right.all():
        row, column = np.unravel_index(right.argmin(), right.shape)
        raise InputError(
            f"{path}, line {row + 2}, column {COLUMNS[column]}: the cell is "
            f"{values[row, column]:g}, where a whole number from 0 to {highest[column]} is "
            "expected; correct it"
        )
    table = values.astype(np.uint8)
    return ImageSet(table[:, 1:].reshape(-1, SIDE, SIDE), table[:, 0], classes)
