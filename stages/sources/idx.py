"""The IDX format, as http://yann.lecun.com/exdb/mnist describes it and Fashion-MNIST uses it.

`data.idx` names four files of this form, each by a path or a URL, and each with its checksum. A
path needs one too, because such a file is not a dep of the stage: what `dvc.yaml` lists must exist,
whichever source is used. So a changed file is refused, and its new checksum in `params.yaml` makes
DVC run `ingest` again.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from stages.base.images import SIDE, ImageSet
from stages.catalog import OutsideFile
from stages.cli import InputError
from stages.params import IdxFile, IdxFiles
from stages.sources import download

UNSIGNED_BYTES = 0x0800  # to which the number of dimensions is added
GZIP = b"\x1f\x8b"


def read(files: IdxFiles, split: str, classes: tuple[str, ...]) -> ImageSet:
    """The images of "train" or "test".

    Raises:
        InputError: a file is missing or damaged, or has another checksum or a wrong shape; a label
            has no name in `classes`; there are more or fewer labels than images.
    """
    paths = {kind: _local(getattr(files, f"{split}_{kind}")) for kind in ("images", "labels")}
    images = read_array(paths["images"], (None, SIDE, SIDE))
    labels = read_array(paths["labels"], (None,))
    if len(images) != len(labels):
        raise InputError(
            f"{paths['images']} holds {len(images):,} images and {paths['labels']} {len(labels):,} "
            "labels; they do not belong together: correct data.idx in params.yaml"
        )
    if (highest := labels.max(initial=0)) >= len(classes):
        raise InputError(
            f"{paths['labels']} holds the label {highest}, but data.classes names only the labels "
            f"0 to {len(classes) - 1}; name all classes, or number them from 0"
        )
    if files.transposed:
        images = np.ascontiguousarray(images.transpose(0, 2, 1))
    return ImageSet(images=images, labels=labels, classes=classes)


def _local(file: IdxFile) -> Path:
    if file.url:
        home, _, name = file.url.rpartition("/")
        return download.fetch([OutsideFile(name, file.sum)], [home])
    path = Path(file.path)
    if not path.is_file():
        raise InputError(
            f"{path} is missing or not a file; put it there, or correct data.idx in params.yaml"
        )
    download.check(path, file.sum, remedy="replace it, or correct its checksum in params.yaml")
    return path


def read_array(path: Path, shape: tuple[int | None, ...]) -> np.ndarray:
    """Read an IDX file of unsigned bytes, gzipped or plain.

    Args:
        path: the file.
        shape: what its header must say, such as (60000, 28, 28); None stands for any number.

    Returns:
        uint8 array of `shape`.

    Raises:
        InputError: the file is damaged, or has another shape or type.
    """
    content = path.read_bytes()
    if content.startswith(GZIP):
        try:
            content = gzip.decompress(content)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(
                f"{path} is not a complete gzip file ({error}); download it again"
            ) from None
    start = 4 + 4 * len(shape)
    header = content[:start].ljust(start, b"\0")  # a shorter file fails by its length
    magic, *found = struct.unpack(f">{1 + len(shape)}I", header)
    as_wanted = all(wanted in (None, length) for wanted, length in zip(shape, found, strict=True))
    whole = len(content) == start + math.prod(found)
    if not (magic == UNSIGNED_BYTES + len(shape) and as_wanted and whole):
        sizes = " x ".join("n" if length is None else f"{length:,}" for length in shape)
        raise InputError(
            f"{path} is not the complete IDX file of {sizes} unsigned bytes that is expected "
            f"here: it has {len(content):,} bytes and begins with {header.hex(' ', 4)}; take "
            "another file (images and labels, or train and test, may be swapped)"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(found)
