"""`stages/common/idx.py`: the IDX reader, and what it says of files that are not the right ones."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from stages.common import idx
from tests.helpers import message_of

SHAPE = (5, 28, 28)
VALUES = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)


def content(array: np.ndarray, kind: int = 0x08) -> bytes:
    magic = bytes([0, 0, kind, array.ndim])
    return magic + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def put(tmp_path: Path, compressed: bytes) -> Path:
    path = tmp_path / "images.gz"
    path.write_bytes(compressed)
    return path


@pytest.mark.parametrize("array", [VALUES, VALUES[:, 0, 0]], ids=["images", "labels"])
def test_reads_what_was_written(tmp_path, array):
    read = idx.read(put(tmp_path, gzip.compress(content(array))), array.shape)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)


WHOLE = gzip.compress(content(VALUES))
CORRUPT = bytearray(WHOLE)
CORRUPT[len(WHOLE) // 2] ^= 0xFF


@pytest.mark.parametrize(
    ("compressed", "expected"),
    [
        (WHOLE[: len(WHOLE) // 2], "is not a whole gzip file (Compressed file ended"),
        (WHOLE[:5], "is not a whole gzip file"),
        (bytes(CORRUPT), "is not a whole gzip file"),
        (WHOLE[:10] + b"\xff" * 90, "is not a whole gzip file (Error -3 while decompressing"),
        (WHOLE[:-8] + bytes(8), "is not a whole gzip file (CRC check failed"),
        (b"<!DOCTYPE html><html></html>", "is not a whole gzip file (Not a gzipped file"),
        (content(VALUES), "is not a whole gzip file (Not a gzipped file"),
        (b"", "begins with nothing, where an IDX file"),
        (gzip.compress(content(VALUES[:, 0, 0])), "begins with 00 00 08 01, where an IDX file of"),
        (gzip.compress(content(VALUES, kind=0x0D)), "begins with 00 00 0d 03"),
        (gzip.compress(content(VALUES)[:10]), "ends within its IDX header"),
        (gzip.compress(content(VALUES[:4])), "holds an array of 4 x 28 x 28, where 5 x 28 x 28"),
        (gzip.compress(content(VALUES)[:-1]), "holds 3,919 values after its header, which anno"),
        (gzip.compress(content(VALUES) + b"\0"), "holds 3,921 values after its header"),
    ],
    ids=[
        "truncated",
        "truncated in the gzip header",
        "corrupt",
        "no deflate stream",
        "wrong CRC",
        "web page",
        "not compressed",
        "empty",
        "labels for images",
        "floats for bytes",
        "header cut off",
        "test for train",
        "a value missing",
        "a value too many",
    ],
)
def test_refuses_what_is_not_the_file(tmp_path, compressed, expected):
    path = put(tmp_path, compressed)
    message = message_of(idx.read, path, SHAPE)
    assert message.startswith(f"{path} {expected}")
    assert message.endswith("fetch it again")
