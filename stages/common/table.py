"""Images as a CSV table of 785 columns: `label,pixel1,...,pixel784`, one image a row."""

from pathlib import Path

import numpy as np
import pandas as pd

from stages.common.command import InputError
from stages.common.images import CLASSES, SIDE, ImageSet

COLUMNS = ["label", *(f"pixel{number}" for number in range(1, SIDE * SIDE + 1))]


def read(path: Path) -> ImageSet:
    """Read and check a table.

    Raises:
        InputError: no such file, or an empty one; a missing, surplus or misplaced column; a cell
            that is empty, no whole number, or out of range. Lines count from 1, the header's.
    """
    try:
        table = pd.read_csv(path, low_memory=False, encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path} is missing; params.yaml names it under data.csv") from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty; it needs a header and a row for each image") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not a CSV table: {' '.join(str(error).split())}") from None
    _check_columns(path, list(table.columns))
    if table.empty:
        raise InputError(f"{path} has a header but no rows; it needs a row for each image")
    for column in COLUMNS:
        highest = CLASSES - 1 if column == "label" else 255
        _check_cells(path, table[column], highest)
    values = table.to_numpy(dtype=np.uint8)
    return ImageSet(images=values[:, 1:].reshape(-1, SIDE, SIDE), labels=values[:, 0])


def _check_columns(path: Path, columns: list[str]) -> None:
    if columns == COLUMNS:
        return
    missing = [column for column in COLUMNS if column not in columns]
    surplus = [column for column in columns if column not in COLUMNS]
    if missing:
        what = f"lacks {len(missing)} of the 785 columns, the first of them {missing[0]!r}"
    elif surplus:
        what = f"has a column {surplus[0]!r} that does not belong there"
    else:
        what = "has its columns in another order"
    raise InputError(f"{path} {what}; its header must be label,pixel1,...,pixel784")


def _check_cells(path: Path, cells: pd.Series, highest: int) -> None:
    if pd.api.types.is_integer_dtype(cells) and cells.between(0, highest).all():
        return
    numbers = pd.to_numeric(cells, errors="coerce")
    wrong = ~(numbers.between(0, highest) & (numbers % 1 == 0))
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        cell = cells.iloc[row]
        found = "empty" if pd.isna(cell) else repr(cell.item() if hasattr(cell, "item") else cell)
        raise InputError(
            f"{path}, line {row + 2}, column {cells.name}: the cell is {found}, where a whole "
            f"number from 0 to {highest} is expected; correct it"
        )
