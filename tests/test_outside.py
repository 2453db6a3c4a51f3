"""What comes from outside is data: nothing in it runs, and none grows."""

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from stages.base.files import load_array, load_arrays
from stages.sources import pictures
from stages.training.keras_setup import keras
from tests.helpers import message_of, traced_memory
from tools import predict

pytestmark = pytest.mark.outside
CODE = "__import__('pathlib').Path('ran').touch()"
IMAGES = np.zeros((1, 28, 28), np.uint8)


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path, monkeypatch):
    """The code in a test's input would make the file `ran`."""
    monkeypatch.chdir(tmp_path)
    yield
    assert not Path("ran").exists()


def save_model(*more: keras.Layer) -> None:
    stack = [keras.Input((28, 28)), *more, keras.layers.Flatten()]
    keras.Sequential([*stack, keras.layers.Dense(2, "softmax")]).save("model.keras")


def test_a_lambda_layer_in_a_model():
    save_model(keras.layers.Lambda(eval(f"lambda x: ({CODE}, x)[1]")))
    Path("ran").unlink()
    assert "Lambda" in message_of(predict.predict, [Path("model.keras")], IMAGES)


@pytest.mark.parametrize("module", ["os", "keras.src.saving.saving_lib.os", "builtins", None])
def test_an_object_from_elsewhere_in_a_model(module):
    save_model()
    with zipfile.ZipFile("model.keras", "a") as archive:
        config = json.loads(archive.read("config.json"))
        system = {"module": module, "class_name": "system", "config": "touch ran"}
        config["config"]["layers"][-1]["config"]["activation"] = system
        archive.writestr("config.json", json.dumps(config))
    assert "deserialized" in message_of(predict.predict, [Path("model.keras")], IMAGES)


class Runs:
    def __reduce__(self):
        return eval, (CODE,)


@pytest.mark.parametrize("save", [np.save, np.savez, lambda file, array: pickle.dump(array, file)])
def test_an_object_in_an_array(save):
    with Path("array").open("wb") as file:
        save(file, np.array([Runs()], dtype=object))
    with pytest.raises(ValueError, match=r"pickle|Python objects"):
        (load_arrays if save is np.savez else load_array)("array")


@pytest.mark.parametrize(("side", "characters"), [(14_000, 1), (8, 20 * 2**20)])
def test_a_small_picture_that_unpacks_to_a_large_one(monkeypatch, side, characters):
    """196 million pixels, or 20 MB of text: refused before they are unpacked."""
    Image.init()  # Pillow loads its parts with the first picture
    texts = PngImagePlugin.PngInfo()
    texts.add_text("name", " " * characters, zip=True)
    Image.new("1", (side, side)).save("large.png", pnginfo=texts)
    assert Path("large.png").stat().st_size < 30_000
    # Python does not count what Pillow unpacks pixels into.
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("unpacked"))
    with traced_memory() as taken:
        message_of(pictures.read, Path("large.png"))
    assert taken.peak < 2**23
