"""`stages/sources/idx.py`: other data sets; what is wrong with files: `test_bad_files.py`."""

import gzip
import hashlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages import ingest, params
from stages.base import images
from tests.helpers import contents, message_of, random_image_set
from tests.project import set_params

CLASSES = tuple(f"digit {digit}" for digit in range(10))


def content(array: np.ndarray) -> bytes:
    magic = bytes([0, 0, 0x08, array.ndim])
    return magic + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture(scope="module")
def digits() -> dict[str, np.ndarray]:
    train, test = random_image_set(1500, seed=1), random_image_set(297, seed=2)
    return {
        "train_images": train.images,
        "train_labels": train.labels,
        "test_images": test.images,
        "test_labels": test.labels,
    }


def use(
    project: Path, files: dict[str, np.ndarray], classes: tuple[str, ...] = CLASSES, **more: Any
) -> dict[str, Path]:
    """Write `files` and name them in the params: training gzipped, test plain, MD5 for one."""
    section, paths = {}, {}
    for name, array in files.items():
        packed = gzip.compress(content(array)) if "train" in name else content(array)
        paths[name] = project / f"{name}.idx"
        paths[name].write_bytes(packed)
        algorithm = "md5" if name == "test_labels" else "sha256"
        pinned = f"{algorithm}:{hashlib.new(algorithm, packed).hexdigest()}"
        section[name] = {"path": paths[name].name, "sum": pinned}
    changes = {"data.source": "idx", "data.idx": section | more, "data.classes": list(classes)}
    set_params(project, changes)
    return paths


def assert_ingested(files: dict[str, np.ndarray], classes: tuple[str, ...] = CLASSES) -> None:
    ingest.main()
    for split in images.SPLITS:
        raw = images.load("data/raw", split)
        np.testing.assert_array_equal(raw.images, files[f"{split}_images"])
        np.testing.assert_array_equal(raw.labels, files[f"{split}_labels"])
        assert raw.classes == classes


def test_transposed_images_are_turned_back(project, digits):
    turned = {name: digits[name].transpose(0, 2, 1) for name in digits if "images" in name}
    use(project, digits | turned, transposed=True)
    assert_ingested(digits)


@pytest.mark.parametrize("classes", [2, 100])
def test_any_number_of_classes(project, digits, classes):
    labels = {name: (np.arange(len(digits[name])) % classes).astype(np.uint8)
              for name in digits if "labels" in name}  # fmt: skip
    names = tuple(f"class {label}" for label in range(classes))
    use(project, digits | labels, names)
    assert_ingested(digits | labels, names)


def test_files_by_url(project, digits, web_server):
    """Two have one name, and a download is kept."""
    paths = use(project, digits)
    section = params.load().data.idx.model_dump(exclude_none=True)
    for name in ("train_labels", "test_labels"):
        url = f"{web_server.url}/{name}/labels.idx"
        web_server.files[f"{name}/labels.idx"] = paths[name].read_bytes()
        section[name] = {"url": url, "sum": section[name]["sum"]}
    set_params(project, {"data.idx": section})
    for _ in range(2):
        assert_ingested(digits)
    assert len(web_server.requests) == 2


def test_a_changed_file_is_refused(project, digits):
    """It is not a dep of the stage: only its checksum in the params tells DVC of a change."""
    path = use(project, digits)["train_images"]
    path.write_bytes(gzip.compress(content(digits["test_images"])))
    message = message_of(ingest.main)
    assert message.startswith(path.name)
    assert "sum in params.yaml" in message
    assert contents(project / "data") == {}


def test_a_file_that_is_not_there(project, digits):
    use(project, digits)["test_labels"].unlink()
    assert message_of(ingest.main).startswith("test_labels.idx is missing")


def test_labels_of_other_images_and_those_that_count_from_1(project, digits):
    use(project, digits | {"test_labels": digits["test_labels"][:-1]})
    assert "test_images.idx holds 297 images and test_labels.idx 296" in message_of(ingest.main)
    use(project, digits | {"train_labels": digits["train_labels"] + 1})
    assert message_of(ingest.main).startswith("train_labels.idx holds the label 10,")


def test_a_class_without_images(project, digits):
    use(project, digits, (*CLASSES, "digit 10"))
    assert message_of(ingest.main).startswith("the train set has no image of label 10;")
