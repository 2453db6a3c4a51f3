"""The frozen backbone's features: how images are prepared, and that interrupted work goes on."""

from pathlib import Path

import numpy as np
import pytest

from stages import features, weights
from stages import params
from stages.common import backbone, saving, transfer
from stages.common.images import ImageSet
from stages.common.keras_setup import keras, seed_everything
from stages.params import FeaturesRecipe
from tools.demo import set_params
from tests.imports import ROOT


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 50 training and 10 test images, and VGG16's first block with random weights."""
    (tmp_path / "data/clean").mkdir(parents=True)
    random = np.random.default_rng(0)
    for split, rows in (("train", 50), ("test", 10)):
        raw = random.integers(0, 256, (rows, 28, 28), np.uint8)
        ImageSet(raw, np.arange(rows, dtype=np.uint8) % 10).save(tmp_path / "data/clean", split)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    changes = {"backbone.vgg16.weights": "random", "backbone.vgg16.layer": "block1_pool"}
    set_params(tmp_path, changes)
    monkeypatch.chdir(tmp_path)
    weights.main("vgg16")
    return tmp_path


def extractor(**changes) -> keras.Model:
    recipe = {"input_size": 48, "preprocessing": "unit", "pooling": "none"} | changes
    tensors = Path("models/pretrained/vgg16.npz")
    return backbone.feature_extractor("vgg16", "block1_pool", FeaturesRecipe(**recipe), tensors)


def by_hand(raw: np.ndarray, size: int, preprocessing: str) -> np.ndarray:
    """The same, with Keras's functions one after another on arrays."""
    resized = keras.ops.image.resize(raw[..., np.newaxis].astype("float32"), (size, size))
    colour = np.repeat(keras.ops.convert_to_numpy(resized), 3, axis=-1)
    if preprocessing == "unit":
        prepared = colour / 255
    else:
        prepared = keras.applications.vgg16.preprocess_input(colour)
    network = backbone.build("vgg16", "block1_pool", size)
    with np.load("models/pretrained/vgg16.npz") as tensors:
        network.set_weights([tensors[name] for name in backbone.variables(network)])
    return network.predict(prepared, verbose=0)


@pytest.mark.parametrize("preprocessing", ["unit", "imagenet"])
@pytest.mark.parametrize("size", [32, 48])
def test_images_are_prepared_as_the_recipe_says(project, preprocessing, size):
    raw = np.load("data/clean/test_images.npy")
    model = extractor(preprocessing=preprocessing, input_size=size)
    expected = by_hand(raw, size, preprocessing)
    found = model.predict(raw, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * abs(expected).max())


def test_average_pooling_takes_the_mean_over_the_image(project):
    raw = np.load("data/clean/test_images.npy")
    unpooled = extractor().predict(raw, verbose=0)
    pooled = extractor(pooling="avg").predict(raw, verbose=0)
    np.testing.assert_allclose(pooled, unpooled.mean(axis=(1, 2)), rtol=1e-4)


def test_the_backbone_is_frozen(project):
    assert extractor().trainable_weights == []


def test_a_whole_network_with_imagenets_preprocessing_is_saved_as_it_is(project):
    """The slicing and adding of `preprocess_input` goes through the file, and repeats itself."""
    raw = np.load("data/clean/test_images.npy")
    seed_everything(0)
    recipe = params.load().vgg["study"].model_copy(update={"dense_units": 8})
    extract = extractor(preprocessing="imagenet", pooling="avg")
    head = transfer.build_head(extract.output.shape[1:], recipe, "vgg")
    whole = transfer.with_backbone(extract, head)
    for name in ("first.keras", "second.keras"):
        models.save_model(whole, name)
    assert Path("first.keras").read_bytes() == Path("second.keras").read_bytes()
    loaded = keras.saving.load_model("first.keras")
    expected = head.predict(extract.predict(raw, verbose=0), verbose=0)
    np.testing.assert_allclose(loaded.predict(raw, verbose=0), expected, atol=1e-4)


def test_killed_and_started_again_it_goes_on_after_the_last_finished_part(project, monkeypatch):
    monkeypatch.setattr(features, "PART", 20)
    output = Path("data/features/vgg16-study")
    features.main("vgg16", "study")
    uninterrupted = {path.name: path.read_bytes() for path in output.iterdir()}
    assert np.load(output / "train.npy").shape == (50, 24, 24, 64)

    sizes = []
    predict = keras.Model.predict

    def interrupted(self, x, **options):
        if len(sizes) == 2:
            raise KeyboardInterrupt
        sizes.append(len(x))
        return predict(self, x, **options)

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "predict", interrupted)
        with pytest.raises(KeyboardInterrupt):
            features.main("vgg16", "study")
        assert sizes == [20, 20]
        sizes.clear()
        sizes.extend([0] * 3)  # no further interruption
        features.main("vgg16", "study")
    assert sizes[3:] == [10, 10]
    assert {path.name: path.read_bytes() for path in output.iterdir()} == uninterrupted


def test_parts_are_joined_in_their_order(project, monkeypatch):
    """With parts that do not divide the number of images, every row is its own image's."""
    monkeypatch.setattr(features, "PART", 7)
    features.main("vgg16", "study")
    found = np.load("data/features/vgg16-study/train.npy", mmap_mode="r")
    raw = np.load("data/clean/train_images.npy")
    expected = extractor().predict(raw, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
