"""`stages/sources/csv_images.py`: the CSV form, and what is said of tables that are not right."""

from pathlib import Path

import numpy as np
import pytest

from stages.sources import csv_images
from tests.helpers import as_frame, message_of, random_image_set

IMAGES = random_image_set(12)
FRAME = as_frame(IMAGES)
GOOD = FRAME.to_csv(index=False)
WHOLE_PIXEL = "a whole number from 0 to 255 is expected; correct it"


def put(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def with_cell(row: int, column: str, cell: str) -> str:
    frame = FRAME.astype(str)
    frame.loc[row, column] = cell
    return frame.to_csv(index=False)


def with_a_cell_more(content: str) -> str:
    header, *rows = content.splitlines()
    return "\n".join([header, *(f"{row},0" for row in rows)])


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.encode("utf-8-sig"),
        f"{GOOD}\n\n",
        FRAME.astype(float).to_csv(index=False),
    ],
    ids=["plain", "Windows line ends", "byte order mark", "blank lines at the end", "with .0"],
)
def test_reads_what_was_written(tmp_path, content):
    read = csv_images.read(put(tmp_path, content))
    assert read.images.dtype == read.labels.dtype == np.uint8
    np.testing.assert_array_equal(read.images, IMAGES.images)
    np.testing.assert_array_equal(read.labels, IMAGES.labels)


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("dark", "'dark'"),
        ("256", "256"),
        ("-1", "-1"),
        ("0.5", "0.5"),
        ("", "empty"),
        ("inf", "inf"),
        ("9" * 30, "9" * 30),
    ],
)
def test_names_a_pixel_that_is_none(tmp_path, cell, found):
    path = put(tmp_path, with_cell(3, "pixel400", cell))
    expected = f"{path}, line 5, column pixel400: the cell is {found}, where {WHOLE_PIXEL}"
    assert message_of(csv_images.read, path) == expected


@pytest.mark.parametrize(
    ("cell", "found"), [("10", "10"), ("-1", "-1"), ("", "empty"), ("Bag", "'Bag'")]
)
def test_names_a_label_that_is_none(tmp_path, cell, found):
    path = put(tmp_path, with_cell(11, "label", cell))
    assert message_of(csv_images.read, path) == (
        f"{path}, line 13, column label: the cell is {found}, where a whole number from 0 to 9 is "
        "expected; correct it"
    )


def test_names_a_column_of_nothing_but_true(tmp_path):
    path = put(tmp_path, FRAME.assign(pixel2=True).to_csv(index=False))
    assert f"line 2, column pixel2: the cell is 'True', where {WHOLE_PIXEL}" in message_of(
        csv_images.read, path
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (FRAME.drop(columns="pixel9").to_csv(index=False), "lacks 1 of the 785 columns, the first"),
        (FRAME.drop(columns="label").to_csv(index=False), "of them 'label'; its header must be"),
        (FRAME.assign(id=1).to_csv(index=False), "has a column 'id' that does not belong there"),
        (FRAME[FRAME.columns[::-1]].to_csv(index=False), "has its columns in another order"),
        (FRAME.to_csv(index=False, header=False), "lacks 785 of the 785 columns"),
        (GOOD.replace(",", ";"), "lacks 785 of the 785 columns"),
        (with_a_cell_more(GOOD), "has rows that are longer than its header"),
        (f"{GOOD}{'0,' * 785}0\n", "is not a CSV table (Error tokenizing"),
        (GOOD.encode("utf-16"), "is not a CSV table ('utf-8' codec can't decode"),
        (FRAME[:0].to_csv(index=False), "has a header but no rows; it needs a row for each image"),
        ("", "is empty; it needs a header and a row for each image"),
        ("\n\n", "is empty; it needs a header and a row for each image"),
        ("<!DOCTYPE html>\n<html>\n<body>\n<p>Not here, no,</p>\n", "is not a CSV table"),
        ("<!DOCTYPE html>\n<html></html>\n", "lacks 785 of the 785 columns"),
    ],
    ids=[
        "a pixel missing",
        "label missing",
        "a column too many",
        "another order",
        "no header",
        "semicolons",
        "every row too long",
        "one row too long",
        "UTF-16",
        "header only",
        "empty",
        "blank",
        "web page",
        "short web page",
    ],
)
def test_says_what_is_no_such_table(tmp_path, content, expected):
    path = put(tmp_path, content)
    message = message_of(csv_images.read, path)
    assert message.startswith(f"{path} ")
    assert expected in message
    assert "its header must be label,pixel1,...,pixel784" in message or "it needs a" in message


@pytest.mark.parametrize("name", ["absent.csv", "."])
def test_says_what_is_no_file(tmp_path, name):
    path = tmp_path / name
    assert message_of(csv_images.read, path) == (
        f"{path} is missing, or is no file; put it there, or correct data.csv in params.yaml"
    )
