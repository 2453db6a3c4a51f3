"""Damaged input of every kind gives a result or one clear error, by Hypothesis.

Each reader gets files made from a good one by cutting, repeating and overwriting. Where a checksum
would stop nearly all of them, the edits come before the packing. Whatever a reader raises besides
an `InputError` fails the test. 50 cases each in `make test`; `make test-long` has 5,000 in all.
"""

import gzip
import io
import json
import re
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from stages import params, weights
from stages.base.files import load_array, load_arrays
from stages.cli import InputError
from stages.networks.raw_lenet import on_raw_images
from stages.sources import csv_images, fashion_mnist, idx
from stages.training.saving import save_model
from tests.helpers import as_frame, random_image_set
from tests.project import ROOT
from tests.test_weights import SHAPES, random_tensors, write_hdf5
from tools import predict

FEW, MANY = 25, 360  # the latter for each of fourteen

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


def params_without_comments(folder: Path) -> bytes:
    return re.sub(rb" *#.*", b"", params_text(folder))


def hdf5(folder: Path) -> bytes:
    return write_hdf5(folder / "good.h5", random_tensors()).read_bytes()


def picture(folder: Path, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(random_image_set(1).images[0]).save(stream, kind)
    return stream.getvalue()


def array(folder: Path) -> bytes:
    stream = io.BytesIO()
    np.save(stream, random_image_set(3).images)
    return stream.getvalue()


def arrays(folder: Path) -> bytes:
    stream = io.BytesIO()
    image_set = random_image_set(3)
    np.savez(stream, images=image_set.images, labels=image_set.labels)
    return stream.getvalue()


def model(folder: Path) -> bytes:
    from stages.training.keras_setup import keras

    layers = keras.layers
    stack = [keras.Input((28, 28, 1)), layers.Conv2D(4, 5, activation="relu", name="conv")]
    stack += [layers.MaxPooling2D(4), layers.Flatten(), layers.Dense(10, "softmax")]
    save_model(on_raw_images(keras.Sequential(stack, name="small")), folder / "good.keras")
    return (folder / "good.keras").read_bytes()


def entry_of_model(folder: Path, name: str) -> bytes:
    model(folder)
    with zipfile.ZipFile(folder / "good.keras") as archive:
        return archive.read(name)


def packed_model(folder: Path, content: bytes, name: str) -> bytes:
    """The good model with `content` as its entry `name`."""
    stream = io.BytesIO()
    with zipfile.ZipFile(folder / "good.keras") as good, zipfile.ZipFile(stream, "w") as packed:
        for entry in good.namelist():
            packed.writestr(entry, content if entry == name else good.read(entry))
    return stream.getvalue()


def read_model(path: Path) -> None:
    predict.check_model(path)
    predict.predict([path], random_image_set(1).images)


def edited(good: bytes, edits: list[Edit]) -> bytes:
    for share, gone, new in edits:
        start = int(share * len(good))
        good = good[:start] + new + good[start + gone :]
    return good


def with_tags(good: bytes, edits: list[Edit]) -> bytes:
    """YAML with a tag before values, of which some are replaced."""
    for share, gone, new in edits:
        places = [found.end() for found in re.finditer(rb": |- |\[|, ", good)]
        start = places[int(share * (len(places) - 1))]
        rest = good[start:]
        if new:  # in quotes, so that it is read up to the tag
            rest = json.dumps(new.decode("latin-1")).encode() + b"\n" + rest.partition(b"\n")[2]
        good = good[:start] + TAGS[gone % len(TAGS)] + rest
    return good


def overwritten(good: bytes, edits: list[Edit]) -> bytes:
    """Of the same length: one that is cut is told by that alone."""
    for share, _, new in edits:
        start = int(share * (len(good) - len(new)))
        good = good[:start] + new + good[start + len(new) :]
    return good


def with_other_values(good: bytes, edits: list[Edit]) -> bytes:
    """JSON in which values are taken out or replaced, but for the names of classes."""
    content = json.loads(good)
    for share, gone, new in edits:
        if places := list(_places(content)):
            parent, key = places[int(share * (len(places) - 1))]
            if gone:
                parent[key] = _value(new)
            else:
                del parent[key]
    return json.dumps(content).encode()


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(content, dict | list):
        for key in content if isinstance(content, dict) else range(len(content)):
            if key not in ("module", "class_name") and not isinstance(content[key], dict):
                yield content, key
            yield from _places(content[key])


def _value(text: bytes) -> Any:
    def small(number: str) -> int | float:
        """A larger network would take more memory, and show nothing more."""
        value = float(number)
        value = min(max(value, -99), 99)
        return value if re.search("[.eE]", number) else int(value)

    try:
        return json.loads(text, parse_int=small, parse_float=small)
    except ValueError:
        return text.decode("latin-1")


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    make: gives what is edited, and may leave a good file in the folder.
    change: edits it.
    pack: gives a file's bytes, of the folder and what was edited.
    """

    make: Callable[[Path], bytes]
    read: Callable[[Path], object]
    file: str
    change: Callable[[bytes, list[Edit]], bytes] = edited
    pack: Callable[[Path, bytes], bytes] = lambda folder, content: content


def model_kind(entry: str, change: Callable[[bytes, list[Edit]], bytes]) -> Kind:
    """A model of which one entry is edited."""
    make, pack = partial(entry_of_model, name=entry), partial(packed_model, name=entry)
    return Kind(make, read_model, "model.keras", change, pack)


read_images = partial(idx.read_array, shape=(None, 28, 28))
KINDS = {
    "IDX": Kind(idx_bytes, read_images, "images"),
    "gzipped IDX": Kind(idx_gzip, read_images, "images.gz"),
    "IDX in gzip": Kind(
        idx_bytes, read_images, "images.gz", pack=lambda folder, content: gzip.compress(content)
    ),
    "CSV": Kind(csv_text, lambda path: csv_images.read(path, fashion_mnist.CLASSES), "train.csv"),
    "params": Kind(params_text, params.load, "params.yaml"),
    "tags in params": Kind(params_without_comments, params.load, "params.yaml", with_tags),
    "weights": Kind(hdf5, partial(weights.read_tensors, shapes=SHAPES), "weights.h5"),
    "picture": Kind(partial(picture, kind="png"), predict.read, "picture.png"),
    "picture without checksums": Kind(partial(picture, kind="bmp"), predict.read, "picture.bmp"),
    "array": Kind(array, load_array, "images.npy"),
    "arrays": Kind(arrays, load_arrays, "validation.npz"),
    "model": Kind(model, read_model, "model.keras"),
    "configuration in a model": model_kind("config.json", with_other_values),
    "weights in a model": model_kind("model.weights.h5", overwritten),
}
TAGS = [b"!!bool ", b"!!int ", b"!!float ", b"!!timestamp ", b"!!binary ", b"!!set ", b"!!omap "]
VALUES = [b"null", b"true", b"-1", b"1.5", b"[]", b"{}", b'""', b"NaN", b"[1, 2]", b"0xff"]
# Where in the file, as a share of it; how many bytes go; which come instead.
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.one_of(st.integers(0, 8), st.integers(0, 5_000)),
        st.one_of(
            st.binary(max_size=8),
            st.text("0123456789.,:-eE{}[]!&*'\"\n label", max_size=8).map(str.encode),
            st.sampled_from(TAGS + VALUES),
        ),
    ),
    min_size=1,
    max_size=4,
)


def search(name: str, folder: Path, cases: int) -> int:
    """Try so many edits of the file that `name` reads, and return how many it were."""
    kind = KINDS[name]
    good = kind.make(folder)
    path = folder / kind.file
    path.write_bytes(kind.pack(folder, good))
    kind.read(path)
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
        path.write_bytes(kind.pack(folder, kind.change(good, edits)))
        before = set(folder.iterdir())
        said = ["a result"]
        try:
            kind.read(path)
        except InputError as error:
            said = str(error).splitlines()
        assert said
        assert all(line.strip() for line in said), said
        assert len(said) == 1 or name == "params", said
        assert set(folder.iterdir()) == before

    one_of_two()
    return tried


@pytest.mark.parametrize("name", KINDS)
def test_a_result_or_one_clear_error(name, tmp_path, record_property):
    record_property("cases", search(name, tmp_path, FEW))


@pytest.mark.long
@pytest.mark.parametrize("name", KINDS)
def test_a_result_or_one_clear_error_many_times(name, tmp_path, record_property):
    record_property("cases", search(name, tmp_path, MANY))
