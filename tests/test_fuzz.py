"""Damaged input of every kind gives a result or one clear error, by Hypothesis.

Each reader gets files made from a good one by cutting, repeating and overwriting. Where a checksum
would stop nearly all of them, the edits come before the packing. Whatever a reader raises besides
an `InputError` fails the test.
"""

import gzip
import io
import struct
import zipfile
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
IMAGES = random_image_set(3).images
WORDS = [b"null", b"true", b"-1", b"[]", b"{}", b"NaN", b"!!bool ", b"!!timestamp ", b"!!omap "]
CHARACTERS = st.text("0123456789.,:-eE{}[]!&*'\"\n label", max_size=8)
# Where in the file, as a share of it; how many bytes go; which come instead.
EDIT = st.tuples(
    st.floats(0, 1),
    st.one_of(st.integers(0, 8), st.integers(0, 5_000)),
    st.one_of(st.binary(max_size=8), CHARACTERS.map(str.encode), st.sampled_from(WORDS)),
)


def bitmap() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(stream, "bmp")
    return stream.getvalue()


def configuration() -> bytes:
    """That of a small model in the file `good.keras`."""
    layers = keras.layers
    stack = [layers.Reshape((28, 28, 1)), layers.Conv2D(4, 5), layers.MaxPooling2D(4)]
    stack = [keras.Input((28, 28)), *stack, layers.Flatten(), layers.Dense(10, "softmax")]
    keras.Sequential(stack).save("good.keras")
    return zipfile.ZipFile("good.keras").read("config.json")


def with_configuration(content: bytes) -> bytes:
    stream = io.BytesIO(Path("good.keras").read_bytes())
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("config.json", content)  # of two of a name the last one counts
    return stream.getvalue()


def ask(path: Path) -> None:
    predict.predict(predict.model_files(path), IMAGES)


# The file, what is edited, how it is packed into the file, and what reads that.
KINDS = {
    "IDX": (
        "images.gz",
        lambda: struct.pack(">IIII", 0x0803, *IMAGES.shape) + IMAGES.tobytes(),
        gzip.compress,
        partial(idx.read_array, shape=(None, 28, 28)),
    ),
    "CSV": (
        "train.csv",
        lambda: as_frame(random_image_set(2)).to_csv(index=False).encode(),
        bytes,
        partial(csv_images.read, classes=fashion_mnist.CLASSES),
    ),
    "params": ("params.yaml", (ROOT / "params.yaml").read_bytes, bytes, params.load),
    "picture": ("picture.bmp", bitmap, bytes, pictures.read),
    "model": ("it.keras", configuration, with_configuration, ask),
}


@pytest.mark.parametrize("cases", [FEW, pytest.param(MANY, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_result_or_one_clear_error(kind, cases, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name, good, pack, read = KINDS[kind]
    path, content = Path(name), good()
    path.write_bytes(pack(content))
    read(path)
    before = set(Path().iterdir())
    unlimited = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}

    @settings(max_examples=cases, derandomize=True, **unlimited)
    @given(st.lists(EDIT, min_size=1, max_size=4))
    def one_of_two(edits: list[tuple[float, int, bytes]]) -> None:
        edited = content
        for share, gone, new in edits:
            start = int(share * len(edited))
            edited = edited[:start] + new + edited[start + gone :]
        path.write_bytes(pack(edited))
        said = ["a result"]
        try:
            read(path)
        except InputError as error:
            said = str(error).splitlines()
        assert said
        assert all(line.strip() for line in said)
        assert len(said) == 1 or kind == "params"  # a line for each key
        assert set(Path().iterdir()) == before

    one_of_two()
