"""Images as a CSV table of 785 columns: `label,pixel1,...,pixel784`, one image a row."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from stages.base.images import SIDE, ImageSet
from stages.cli import InputError

COLUMNS = ["label", *(f"pixel{number}" for number in range(1, SIDE * SIDE + 1))]
ROWS_AT_A_TIME = 4_000  # as whole numbers of eight bytes each
HEADER = "its header must be label,pixel1,...,pixel784, and each row an image"


def read(path: Path, classes: tuple[str, ...]) -> ImageSet:
    """Read and check a table.

    Raises:
        InputError: no such file, or an empty one; a missing, surplus or misplaced column; a cell
            that is empty, no whole number, or out of range. Lines count from 1, the header's;
            blank ones are passed over and do not count.
    """
    try:
        with warnings.catch_warnings():
            # Pandas warns where rows are longer than the header, and drops what is over. Without
            # `index_col` it takes their first cells as names of the rows, and says nothing.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            chunks = pd.read_csv(
                path,
                index_col=False,
                low_memory=False,
                encoding="utf-8",
                compression=None,  # else pandas goes by the name, and fails in ways of its own
                chunksize=ROWS_AT_A_TIME,
            )
            with chunks:
                parts = [_pixels(path, table, len(classes) - 1) for table in chunks]
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(
            f"{path} is missing, or is no file; put it there, or correct data.csv in params.yaml"
        ) from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} is empty; it needs a header and a row for each image") from None
    except pd.errors.ParserWarning:
        raise InputError(f"{path} has rows that are longer than its header; {HEADER}") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is not a CSV table ({reason}); {HEADER}") from None
    images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return ImageSet(images=images, labels=labels, classes=classes)


def _pixels(path: Path, table: pd.DataFrame, highest: int) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels in these rows of the table, checked; neither shares its memory."""
    _check_columns(path, list(table.columns))
    if table.empty:
        raise InputError(f"{path} has a header but no rows; it needs a row for each image")
    for column in COLUMNS:
        _check_cells(path, table[column], highest if column == "label" else 255)
    values = table.to_numpy(dtype=np.uint8)
    return values[:, 1:].reshape(-1, SIDE, SIDE), values[:, 0].copy()


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
    raise InputError(f"{path} {what}; {HEADER}")


def _check_cells(path: Path, cells: pd.Series, highest: int) -> None:
    if pd.api.types.is_integer_dtype(cells) and cells.between(0, highest).all():
        return
    if pd.api.types.is_bool_dtype(cells):  # pandas takes a column of nothing but "True" as that
        cells = cells.astype(str)
    numbers = pd.to_numeric(cells, errors="coerce")
    wrong = ~(numbers.between(0, highest) & (numbers % 1 == 0))
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        cell, line = cells.iloc[row], cells.index[row] + 2
        found = "empty" if pd.isna(cell) else repr(cell.item() if hasattr(cell, "item") else cell)
        raise InputError(
            f"{path}, line {line}, column {cells.name}: the cell is {found}, where a whole "
            f"number from 0 to {highest} is expected; correct it"
        )
