"""Damaged input of every kind gives a result or one clear error, by Hypothesis.

Each reader gets files made from a good one by cutting, repeating and overwriting. Whatever it
raises besides an `InputError` fails the test. 50 cases each in `make test`; `make test-long` has
5,000 in all.
"""

import gzip
import io
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from stages import params, weights
from stages.cli import InputError
from stages.common.raw_lenet import on_raw_images
from stages.common.saving import save_model
from stages.sources import csv_images, idx
from tests.helpers import as_frame, random_image_set
from tests.imports import ROOT
from tests.test_weights import SHAPES, random_tensors, write_hdf5
from tools import predict

FEW, MANY = 50, 715  # the latter for each of seven

Edit = tuple[float, int, bytes]


def idx_bytes(folder: Path) -> bytes:
    images = random_image_set(3).images
    return struct.pack(">IIII", 0x0803, *images.shape) + images.tobytes()


def idx_gzip(folder: Path) -> bytes:
    return gzip.compress(idx_bytes(folder))


def csv_text(folder: Path) -> bytes:
    return as_frame(random_image_set(2)).to_csv(index=False).encode()


def params_text(folder: Path) -> bytes:
    return (ROOT / "params.yaml").read_bytes()


def hdf5(folder: Path) -> bytes:
    return write_hdf5(folder / "good.h5", random_tensors()).read_bytes()


def picture(folder: Path) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(random_image_set(1).images[0]).save(stream, "png")
    return stream.getvalue()


def model(folder: Path) -> bytes:
    from stages.common import lenet

    save_model(on_raw_images(lenet.build(8)), folder / "good.keras")
    return (folder / "good.keras").read_bytes()


def read_model(path: Path) -> None:
    predict.check_model(path)
    predict.load_model(path)


READERS: dict[str, tuple[Callable[[Path], bytes], Callable[[Path], object], str]] = {
    "IDX": (idx_bytes, partial(idx.read_array, shape=(None, 28, 28)), "images"),
    "gzipped IDX": (idx_gzip, partial(idx.read_array, shape=(None, 28, 28)), "images.gz"),
    "CSV": (csv_text, csv_images.read, "train.csv"),
    "params": (params_text, params.load, "params.yaml"),
    "weights": (hdf5, partial(weights.read_tensors, shapes=SHAPES), "weights.h5"),
    "picture": (picture, predict.read, "picture.png"),
    "model": (model, read_model, "model.keras"),
}
# Where in the file, as a share of it; how many bytes go; which come instead.
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.one_of(st.integers(0, 8), st.integers(0, 5_000)),
        st.one_of(
            st.binary(max_size=8),
            st.text("0123456789.,:-eE{}[]!&*'\"\n label", max_size=8).map(str.encode),
        ),
    ),
    min_size=1,
    max_size=4,
)


def edited(good: bytes, edits: list[Edit]) -> bytes:
    for share, gone, new in edits:
        start = int(share * len(good))
        good = good[:start] + new + good[start + gone :]
    return good


def search(name: str, folder: Path, cases: int) -> int:
    """Try so many edits of the file that `name` reads, and return how many it were."""
    make, read, file = READERS[name]
    good = make(folder)
    path = folder / file
    path.write_bytes(good)
    read(path)
    tried = 0

    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(EDITS)
    def one_of_two(edits: list[Edit]) -> None:
        nonlocal tried
        tried += 1
        path.write_bytes(edited(good, edits))
        before = set(folder.iterdir())
        with suppress(InputError):
            read(path)
        assert set(folder.iterdir()) == before

    one_of_two()
    return tried


@pytest.mark.parametrize("name", READERS)
def test_a_result_or_one_clear_error(name, tmp_path, record_property):
    record_property("cases", search(name, tmp_path, FEW))


@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
def test_a_result_or_one_clear_error_many_times(name, tmp_path, record_property):
    record_property("cases", search(name, tmp_path, MANY))
