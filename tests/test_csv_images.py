"""`stages/sources/csv_images.py`: the CSV form; what is wrong with others: `test_bad_files.py`."""

import csv
from pathlib import Path

import numpy as np
import pytest

from stages.base.images import ImageSet
from stages.sources import csv_images, fashion_mnist
from tests.helpers import as_frame, message_of, random_image_set

IMAGES = random_image_set(12)
FRAME = as_frame(IMAGES)
GOOD = FRAME.to_csv(index=False)


def read(tmp_path: Path, content: str | bytes, classes=fashion_mnist.CLASSES) -> ImageSet:
    path = tmp_path / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return csv_images.read(path, classes)


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        GOOD.replace("\n", "\r\n"),
        GOOD.encode("utf-8-sig"),
        f"{GOOD}\n\n",
        FRAME.astype(float).to_csv(index=False),
        FRAME.to_csv(index=False, quoting=csv.QUOTE_ALL),
    ],
    ids=["plain", "Windows line ends", "byte order mark", "blank lines", "with .0", "quoted"],
)
def test_reads_what_was_written(tmp_path, content):
    images = read(tmp_path, content)
    assert images.images.dtype == images.labels.dtype == np.uint8
    np.testing.assert_array_equal(images.table(), IMAGES.table())


def test_there_may_be_as_many_classes_as_are_named(tmp_path):
    letters = tuple("abcdefghijklmnopqrstuvwxyz")
    table = FRAME.assign(label=range(14, 26)).to_csv(index=False)
    images = read(tmp_path, table, letters)
    assert images.classes == letters
    assert images.labels.tolist() == list(range(14, 26))
    message = message_of(read, tmp_path, table, letters[:25])
    assert "line 13, column label: the cell is 25;" in message
