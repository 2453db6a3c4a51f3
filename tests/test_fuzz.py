"""Damaged input of every kind gives a result or one clear error, by Hypothesis.

Each reader gets files made from a good one by cutting, repeating and overwriting. Where a checksum
would stop nearly all of them, the edits come before the packing. Whatever a reader raises besides
an `InputError` fails the test.
"""

import gzip
import io
import re
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from stages import params
from stages.cli import InputError
from stages.sources import csv_images, fashion_mnist, idx, pictures
from stages.training.keras_setup import keras
from tests.helpers import as_frame, random_image_set
from tests.project import ROOT
from tools import predict

pytestmark = pytest.mark.fuzz
FEW, MANY = 25, 450  # cases of each kind
VALUES = [b"null", b"true", b"-1", b"1.5", b"[]", b"{}", b'""', b"NaN", b"[1, 2]", b"99"]
TAGS = [b"!!bool ", b"!!int ", b"!!float ", b"!!timestamp ", b"!!binary ", b"!!set ", b"!!omap "]
# Where in the file, as a share of it; how many bytes go; which come instead.
Edits = list[tuple[float, int, bytes]]
CHARACTERS = st.text("0123456789.,:-eE{}[]!&*'\"\n label", max_size=8)
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.one_of(st.integers(0, 8), st.integers(0, 5_000)),
        st.one_of(
            st.binary(max_size=8), CHARACTERS.map(str.encode), st.sampled_from(TAGS + VALUES)
        ),
    ),
    min_size=1,
    max_size=4,
)


def edited(good: bytes, edits: Edits) -> bytes:
    for share, gone, new in edits:
        start = int(share * len(good))
        good = good[:start] + new + good[start + gone :]
    return good


def with_other_values(good: bytes, edits: Edits) -> bytes:
    """JSON or YAML with other values, or with a tag before them."""
    for share, gone, new in edits:
        values = list(re.finditer(rb'(?<=: )("[^"]*"|[\w.-]+)', good))
        value = values[int(share * (len(values) - 1))]
        other = new if new in VALUES else VALUES[gone % len(VALUES)]
        if new in TAGS and not good.startswith(b"{"):
            other = new + value[0]
        good = good[: value.start()] + other + good[value.end() :]
    return good


@dataclass(frozen=True)
class Kind:
    """A kind of file: what is edited, how, how it is packed into a file, and what reads that."""

    good: Callable[[], bytes]
    file: str
    read: Callable[[Path], object]
    change: Callable[[bytes, Edits], bytes] = edited
    pack: Callable[[bytes], bytes] = bytes


def idx_bytes() -> bytes:
    images = random_image_set(3).images
    return struct.pack(">IIII", 0x0803, *images.shape) + images.tobytes()


def csv_text() -> bytes:
    return as_frame(random_image_set(2)).to_csv(index=False).encode()


def bitmap() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(random_image_set(1).images[0]).save(stream, "bmp")
    return stream.getvalue()


def model() -> bytes:
    layers = keras.layers
    stack = [layers.Reshape((28, 28, 1)), layers.Conv2D(4, 5), layers.MaxPooling2D(4)]
    stack = [keras.Input((28, 28)), *stack, layers.Flatten(), layers.Dense(10, "softmax")]
    keras.Sequential(stack).save("good.keras")  # in the test's own folder
    return Path("good.keras").read_bytes()


def configuration() -> bytes:
    return zipfile.ZipFile(io.BytesIO(model())).read("config.json")


def with_configuration(content: bytes) -> bytes:
    stream = io.BytesIO(Path("good.keras").read_bytes())
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("config.json", content)  # of two of a name the last one counts
    return stream.getvalue()


def ask(path: Path) -> None:
    predict.predict(predict.model_files(path), random_image_set(1).images)


read_images = partial(idx.read_array, shape=(None, 28, 28))
read_table = partial(csv_images.read, classes=fashion_mnist.CLASSES)
KINDS = {
    "IDX": Kind(idx_bytes, "images", read_images),
    "gzipped IDX": Kind(lambda: gzip.compress(idx_bytes()), "images.gz", read_images),
    "IDX in gzip": Kind(idx_bytes, "images.gz", read_images, pack=gzip.compress),
    "CSV": Kind(csv_text, "train.csv", read_table),
    "params": Kind((ROOT / "params.yaml").read_bytes, "params.yaml", params.load),
    "values in params": Kind(
        (ROOT / "params.yaml").read_bytes, "params.yaml", params.load, with_other_values
    ),
    "picture": Kind((ROOT / "docs/trouser.png").read_bytes, "picture.png", pictures.read),
    "picture without checksums": Kind(bitmap, "picture.bmp", pictures.read),
    "model": Kind(model, "it.keras", ask),
    "values in a model": Kind(
        configuration, "it.keras", ask, with_other_values, with_configuration
    ),
}


@pytest.mark.parametrize("cases", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", KINDS)
def test_a_result_or_one_clear_error(name, cases, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kind, good, path = KINDS[name], KINDS[name].good(), Path(KINDS[name].file)
    path.write_bytes(kind.pack(good))
    kind.read(path)
    before = set(Path().iterdir())
    unlimited = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}

    @settings(max_examples=cases, derandomize=True, **unlimited)
    @given(EDITS)
    def one_of_two(edits: Edits) -> None:
        path.write_bytes(kind.pack(kind.change(good, edits)))
        said = ["a result"]
        try:
            kind.read(path)
        except InputError as error:
            said = str(error).splitlines()
        assert said
        assert all(line.strip() for line in said)
        assert len(said) == 1 or "params" in name  # a line for each key
        assert set(Path().iterdir()) == before

    one_of_two()
