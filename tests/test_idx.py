"""`stages/sources/idx.py`: the IDX reader, and what it says of files that are not the right ones.

The data set of four files is scikit-learn's digits, which are not Fashion-MNIST.
"""

import gzip
import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from stages import ingest, params
from stages.base import images
from stages.base.classes import class_names
from stages.sources import idx
from stages.sources.download import DOWNLOADS
from tests.helpers import contents, message_of
from tests.project import set_params

SHAPE = (5, 28, 28)
VALUES = np.random.default_rng(0).integers(0, 256, SHAPE, dtype=np.uint8)
CLASSES = [f"digit {digit}" for digit in range(10)]


def content(array: np.ndarray, kind: int = 0x08) -> bytes:
    magic = bytes([0, 0, kind, array.ndim])
    return magic + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def put(tmp_path: Path, compressed: bytes) -> Path:
    path = tmp_path / "images.gz"
    path.write_bytes(compressed)
    return path


@pytest.mark.parametrize("array", [VALUES, VALUES[:, 0, 0]], ids=["images", "labels"])
@pytest.mark.parametrize("pack", [gzip.compress, bytes], ids=["gzipped", "plain"])
@pytest.mark.parametrize("known", [True, False])
def test_reads_what_was_written(tmp_path, array, pack, known):
    shape = array.shape if known else (None, *array.shape[1:])
    read = idx.read_array(put(tmp_path, pack(content(array))), shape)
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
        (b"<!DOCTYPE html><html></html>", "begins with 3c 21 44 4f, where an IDX file"),
        (content(VALUES)[:-1], "holds 3,919 values after its header, which anno"),
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
        "a value missing, not compressed",
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
    message = message_of(idx.read_array, path, SHAPE)
    assert message.startswith(f"{path} {expected}")
    assert message.endswith("fetch it again")


def test_any_number_of_images_but_of_one_size(tmp_path):
    path = put(tmp_path, content(VALUES[:, :14]))
    message = message_of(idx.read_array, path, (None, 28, 28))
    assert message.startswith(
        f"{path} holds an array of 5 x 14 x 28, where n x 28 x 28 is expected"
    )


@pytest.fixture(scope="module")
def digits() -> dict[str, np.ndarray]:
    """scikit-learn's 1,797 digits, each of its 8x8 pixels made 3x3, within a black frame."""
    bunch = load_digits()
    large = np.pad(np.kron(bunch.images * 15, np.ones((3, 3))), ((0, 0), (2, 2), (2, 2)))
    pixels, labels = large.astype(np.uint8), bunch.target.astype(np.uint8)
    return {
        "train_images": pixels[:1500],
        "train_labels": labels[:1500],
        "test_images": pixels[1500:],
        "test_labels": labels[1500:],
    }


def as_table(files: dict[str, np.ndarray], split: str) -> np.ndarray:
    return images.ImageSet(
        files[f"{split}_images"], files[f"{split}_labels"], tuple(CLASSES)
    ).table()


def use(project: Path, files: dict[str, np.ndarray], **more: Any) -> dict[str, Path]:
    """Write `files` and name them in the params: training gzipped, test plain, MD5 for one."""
    section, paths = {}, {}
    for name, array in files.items():
        compressed = gzip.compress(content(array)) if "train" in name else content(array)
        paths[name] = project / f"{name}.idx"
        paths[name].write_bytes(compressed)
        algorithm = "md5" if name == "test_labels" else "sha256"
        pinned = f"{algorithm}:{hashlib.new(algorithm, compressed).hexdigest()}"
        section[name] = {"path": paths[name].name, "sum": pinned}
    changes = {"data.source": "idx", "data.idx": section | more, "data.classes": CLASSES}
    set_params(project, changes)
    return paths


def test_another_data_set_by_its_four_files(project, digits, capsys):
    use(project, digits)
    ingest.main()
    for split in images.SPLITS:
        np.testing.assert_array_equal(
            images.load("data/raw", split).table(), as_table(digits, split)
        )
    assert "ingest: 1,500 train images from idx" in capsys.readouterr().out
    assert class_names(params.load().data) == tuple(CLASSES)


def test_transposed_images_are_turned_back(project, digits):
    turned = {
        name: array.transpose(0, 2, 1) if array.ndim == 3 else array
        for name, array in digits.items()
    }
    use(project, turned, transposed=True)
    ingest.main()
    np.testing.assert_array_equal(images.load("data/raw", "test").table(), as_table(digits, "test"))


def test_files_by_url(project, digits, web_server, tmp_path, monkeypatch):
    """Two have one name; and the mirror, whose files are Fashion-MNIST's, is not asked."""
    monkeypatch.setenv("FASHION_MIRROR", str(tmp_path / "absent"))
    paths = use(project, digits)
    section = params.load().data.idx.model_dump(exclude_none=True)
    for name in ("train_labels", "test_labels"):
        url = f"{web_server.url}/{name}/labels.idx"
        web_server.files[f"{name}/labels.idx"] = paths[name].read_bytes()
        section[name] = {"url": url, "sum": section[name]["sum"]}
    set_params(project, {"data.idx": section})
    for _ in range(2):
        ingest.main()
        np.testing.assert_array_equal(
            images.load("data/raw", "test").table(), as_table(digits, "test")
        )
    assert len(web_server.requests) == 2, "a download is kept"
    assert len(contents(DOWNLOADS)) == 2


@pytest.mark.usefixtures("no_waiting")
def test_a_url_at_which_nobody_answers(project, digits, nowhere):
    use(project, digits)
    section = params.load().data.idx.model_dump(exclude_none=True)
    url = f"{nowhere}/images.idx"
    section["train_images"] = {"url": url, "sum": section["train_images"]["sum"]}
    set_params(project, {"data.idx": section})
    assert message_of(ingest.main).startswith(f"cannot fetch {url} (ConnectionError); connect to")


def test_a_changed_file_is_refused(project, digits):
    """It is no dep of the stage: only its sum in the params tells DVC of a change."""
    path = use(project, digits)["train_images"]
    path.write_bytes(gzip.compress(content(digits["test_images"])))
    message = message_of(ingest.main)
    assert message.startswith(f"{path.name} is another file: its sum is sha256:")
    assert message.endswith("replace it, or correct its sum in params.yaml")
    assert contents(project / "data") == {}


def test_a_file_that_is_not_there(project, digits):
    path = use(project, digits)["test_labels"]
    path.unlink()
    assert message_of(ingest.main) == (
        f"{path.name} is missing, or is no file; put it there, or correct data.idx in params.yaml"
    )


def test_labels_of_other_images(project, digits):
    use(project, digits | {"test_labels": digits["test_labels"][:-1]})
    assert message_of(ingest.main).startswith(
        "test_images.idx holds 297 images and test_labels.idx 296 labels; they do not belong"
    )


def test_more_than_ten_classes(project, digits):
    """As EMNIST's letters have them."""
    labels = digits["train_labels"].copy()
    labels[[7, 9]] = 26
    use(project, digits | {"train_labels": labels})
    assert message_of(ingest.main).startswith(
        "train_labels.idx holds the label 26 (of image 8), where data.classes names"
    )
