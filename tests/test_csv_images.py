"""`stages/sources/csv_images.py`: the CSV form, and what is said of tables that are not right."""

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from stages.sources import csv_images, fashion_mnist
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
    read = csv_images.read(put(tmp_path, content), fashion_mnist.CLASSES)
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
    assert message_of(csv_images.read, path, fashion_mnist.CLASSES) == expected


@pytest.mark.parametrize(
    ("cell", "found"), [("10", "10"), ("-1", "-1"), ("", "empty"), ("Bag", "'Bag'")]
)
def test_names_a_label_that_is_none(tmp_path, cell, found):
    path = put(tmp_path, with_cell(11, "label", cell))
    assert message_of(csv_images.read, path, fashion_mnist.CLASSES) == (
        f"{path}, line 13, column label: the cell is {found}, where a whole number from 0 to 9 is "
        "expected; correct it"
    )


def test_names_a_column_of_nothing_but_true(tmp_path):
    path = put(tmp_path, FRAME.assign(pixel2=True).to_csv(index=False))
    assert f"line 2, column pixel2: the cell is 'True', where {WHOLE_PIXEL}" in message_of(
        csv_images.read, path, fashion_mnist.CLASSES
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
    message = message_of(csv_images.read, path, fashion_mnist.CLASSES)
    assert message.startswith(f"{path} ")
    assert expected in message
    assert "its header must be label,pixel1,...,pixel784" in message or "it needs a" in message


@pytest.mark.parametrize("name", ["table.csv.gz", "table.csv.bz2", "table.csv.zip"])
@pytest.mark.parametrize("start", [b"", b"\x1f\x8b\x08\0\0\0\0\0", b"PK\x03\x04"])
def test_a_packed_table_is_none(tmp_path, name, start):
    """Whole or damaged: pandas would unpack it by its name, and fail in other ways."""
    path = tmp_path / name
    path.write_bytes(start + gzip.compress(GOOD.encode()))
    assert f"{path} is not a CSV table (" in message_of(
        csv_images.read, path, fashion_mnist.CLASSES
    )


class TestManyRows:
    """A table is read a part at a time."""

    @pytest.fixture(autouse=True)
    def _parts_of_200_rows(self, monkeypatch):
        monkeypatch.setattr(csv_images, "ROWS_AT_A_TIME", 200)

    def test_every_row_comes_in_its_turn(self, tmp_path):
        images = random_image_set(401)
        read = csv_images.read(
            put(tmp_path, as_frame(images).to_csv(index=False)), fashion_mnist.CLASSES
        )
        np.testing.assert_array_equal(read.images, images.images)
        np.testing.assert_array_equal(read.labels, images.labels)

    def test_it_takes_less_than_three_bytes_a_pixel(self, tmp_path):
        rows = 2_000
        path = put(tmp_path, as_frame(random_image_set(rows)).to_csv(index=False))
        tracemalloc.start()
        try:
            csv_images.read(path, fashion_mnist.CLASSES)
            assert tracemalloc.get_traced_memory()[1] < 3 * rows * 28 * 28
        finally:
            tracemalloc.stop()

    @pytest.mark.parametrize("row", [0, 199, 200, 400])
    def test_a_line_keeps_its_number(self, tmp_path, row):
        frame = as_frame(random_image_set(401)).astype(str)
        frame.loc[row, "pixel7"] = "256"
        path = put(tmp_path, frame.to_csv(index=False))
        expected = f"{path}, line {row + 2}, column pixel7: the cell is 256, where {WHOLE_PIXEL}"
        assert message_of(csv_images.read, path, fashion_mnist.CLASSES) == expected

    @pytest.mark.parametrize("cells", [700, 786])
    def test_a_later_row_of_another_length(self, tmp_path, cells):
        content = as_frame(random_image_set(401)).to_csv(index=False)
        path = put(tmp_path, f"{content}{','.join(['0'] * cells)}\n")
        expected = {
            700: f"{path}, line 403, column pixel700: the cell is empty, where {WHOLE_PIXEL}",
            786: f"{path} is not a CSV table (Error tokenizing",
        }
        assert message_of(csv_images.read, path, fashion_mnist.CLASSES).startswith(expected[cells])


@pytest.mark.parametrize("name", ["absent.csv", "."])
def test_says_what_is_no_file(tmp_path, name):
    path = tmp_path / name
    assert message_of(csv_images.read, path, fashion_mnist.CLASSES) == (
        f"{path} is missing, or is no file; put it there, or correct data.csv in params.yaml"
    )
