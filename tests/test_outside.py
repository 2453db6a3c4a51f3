"""What comes from outside is data: nothing in it runs, and none of it grows without end.

Here for what the project reads itself. Models are in `test_predict.py`, downloads and mirrors in
`test_download.py`, params in `test_params.py`.
"""

import binascii
import pickle
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import ImageFile

from stages.base.files import load_array, load_arrays, read_yaml
from tests.helpers import message_of, traced_memory
from tools import predict

# Nine to the eighth values, should anything write them all out.
ALIASES = ["a: &a [1]"]
for before, after in pairwise("abcdefghi"):
    ALIASES.append(f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]")


@contextmanager
def within_memory(most: int) -> Iterator[None]:
    """Python may take `most` bytes in the block at any time."""
    with traced_memory() as found:
        yield
    assert found.peak < most


class Runs:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def objects(tmp_path):
    """An array of one object that runs when it is unpickled, as it does without our caution."""
    array = np.array([Runs(tmp_path / "ran")], dtype=object)
    np.save(tmp_path / "check.npy", array)
    np.load(tmp_path / "check.npy", allow_pickle=True)
    (tmp_path / "ran").unlink()
    yield array
    assert not (tmp_path / "ran").exists()


def test_an_object_in_an_array(objects, tmp_path):
    path = tmp_path / "images.npy"
    np.save(path, objects)
    assert message_of(load_array, path).startswith(f"{path} is damaged (")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_object_in_an_archive_of_arrays(objects, tmp_path, save):
    path = tmp_path / "validation.npz"
    save(path, labels=np.arange(3), rows=objects)
    assert message_of(load_arrays, path).startswith(f"{path} is damaged (Object arrays cannot be")


def test_a_pickle_in_place_of_an_array(objects, tmp_path):
    path = tmp_path / "images.npy"
    path.write_bytes(pickle.dumps(objects[0]))
    for load in (load_array, load_arrays):
        assert message_of(load, path).startswith(f"{path} is damaged (")


def test_a_python_tag_in_yaml(tmp_path):
    path = tmp_path / "hyperparameters.yaml"
    ran = tmp_path / "ran"
    path.write_text(f"units: !!python/object/apply:os.mkdir [{ran}]")
    yaml.unsafe_load(path.read_text())
    ran.rmdir()
    assert message_of(read_yaml, path).startswith(f"{path} is damaged (could not determine a cons")
    assert not ran.exists()


@pytest.mark.parametrize("value", ["!!bool x", '!!int ""', "!!timestamp x"])
def test_a_yaml_tag_that_its_value_does_not_fit(tmp_path, value):
    path = tmp_path / "hyperparameters.yaml"
    path.write_text(f"units: {value}")
    assert message_of(read_yaml, path).startswith(f"{path} is damaged (")


def test_aliases_in_yaml_do_not_multiply(tmp_path):
    path = tmp_path / "hyperparameters.yaml"
    path.write_text("\n".join(ALIASES))
    with within_memory(2**20):
        assert len(read_yaml(path)["i"]) == 9


def png(width: int, height: int, pixels: bytes, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG in shades of one bit, with more chunks before its pixels, whose lines are `pixels`."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
    number = struct.Struct(">I").pack
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        number(len(content)) + kind + content + number(binascii.crc32(kind + content))
        for kind, content in chunks
    )


def test_a_picture_that_grows_without_end(tmp_path, monkeypatch):
    """196 million pixels in 25 kB: it is refused by its header, before it is unpacked."""
    (tmp_path / "good.png").write_bytes(png(8, 8, bytes(2 * 8)))
    predict.read(tmp_path / "good.png")  # Pillow loads its parts with the first picture
    # Python does not count what Pillow unpacks into.
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("unpacked"))
    path = tmp_path / "bomb.png"
    path.write_bytes(png(14_000, 14_000, bytes(14_000 * 1_751)))
    assert path.stat().st_size < 30_000
    with within_memory(2**23):
        message = message_of(predict.read, path)
    assert message == f"{path} has more than 89,478,485 pixels; make it smaller"


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP"])
def test_a_text_in_a_picture_that_grows_without_end(tmp_path, kind):
    """20 MB in 20 kB. Pillow reads such texts before the pixels."""
    path = tmp_path / "bomb.png"
    text = b"name\0\0" + zlib.compress(bytes(20 * 2**20))
    path.write_bytes(png(8, 8, bytes(2 * 8), (kind, text)))
    with within_memory(2**23):
        message = message_of(predict.read, path)
    assert message.startswith(f"{path} cannot be read (Decompressed data too large")
