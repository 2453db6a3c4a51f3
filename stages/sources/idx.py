"""The IDX format, as http://yann.lecun.com/exdb/mnist describes it and Fashion-MNIST uses it."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from stages.cli import InputError

UNSIGNED_BYTES = 0x08


def read(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read a gzipped IDX file of unsigned bytes.

    Args:
        path: the file.
        shape: what its header must say, such as (60000, 28, 28).

    Returns:
        uint8 array of `shape`.

    Raises:
        InputError: the file is damaged, or is not the one that was asked for.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            f"{path} is not a whole gzip file ({error}); delete it and fetch it again"
        ) from None
    header = 4 + 4 * len(shape)
    magic = bytes([0, 0, UNSIGNED_BYTES, len(shape)])
    if content[:4] != magic:
        raise InputError(
            f"{path} begins with {content[:4].hex(' ') or 'nothing'}, where an IDX file of "
            f"{len(shape)} dimensions of unsigned bytes begins with {magic.hex(' ')}: it is "
            "another file under this name (images and labels swapped?); fetch it again"
        )
    if len(content) < header:
        raise InputError(f"{path} ends within its IDX header; delete it and fetch it again")
    found = struct.unpack(f">{len(shape)}I", content[4:header])
    if found != shape:
        raise InputError(
            f"{path} holds an array of {_by(found)}, where {_by(shape)} is expected "
            "(train and test swapped?); fetch it again"
        )
    length = len(content) - header
    if length != math.prod(shape):
        raise InputError(
            f"{path} holds {length:,} values after its header, which announces "
            f"{math.prod(shape):,}; delete it and fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{length:,}" for length in shape)
