"""Images as a CSV table of 785 columns: `label,pixel1,...,pixel784`, one image per row."""

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
        InputError: the file is missing or not a table; a column is missing, surplus or misplaced;
            there is no row; a cell is empty, not a whole number, or out of range. Line 1 is the
            header; blank lines do not count.
    """
    try:
        with path.open(encoding="utf-8-sig") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a table without rows
            header = next(csv.reader([file.readline()]), [])
            # Fractions and values out of range are read too, so that the error can name them.
            values = np.loadtxt(
                file, np.float32, delimiter=",", comments=None, quotechar='"', ndmin=2
            )
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a table ({error}); {FORM}") from None
    if header != COLUMNS or values.shape[1] != len(COLUMNS):
        raise InputError(f"{path} has a wrong header, rows that are too long, or no rows; {FORM}")
    highest = np.full(len(COLUMNS), 255)
    highest[0] = len(classes) - 1
    right = (values >= 0) & (values <= highest) & (values == np.floor(values))
    if not right.all():
        row, column = np.unravel_index(right.argmin(), right.shape)
        raise InputError(
            f"{path}, line {row + 2}, column {COLUMNS[column]}: the cell is "
            f"{values[row, column]:g}; it must be a whole number from 0 to {highest[column]}"
        )
    table = values.astype(np.uint8)
    return ImageSet(table[:, 1:].reshape(-1, SIDE, SIDE), table[:, 0], classes)
