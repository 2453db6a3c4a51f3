"""The frozen backbone's features: how images are prepared, and that interrupted work goes on."""

from pathlib import Path

import numpy as np
import pytest

from stages import features, weights
from stages.networks import backbone
from stages.params import FeaturesRecipe
from stages.training.keras_setup import keras
from tests.helpers import contents, message_of, random_image_set
from tests.project import ROOT, set_params


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with 50 training and 10 test images, and VGG16's first block with random weights."""
    (tmp_path / "data/clean").mkdir(parents=True)
    for seed, (split, rows) in enumerate({"train": 50, "test": 10}.items()):
        random_image_set(rows, seed).save(tmp_path / "data/clean", split)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    changes = {"backbone.vgg16.weights": "random", "backbone.vgg16.layer": "block1_pool"}
    set_params(tmp_path, changes)
    monkeypatch.chdir(tmp_path)
    weights.main("vgg16")
    return tmp_path


RECIPE = {"backbone": "vgg16", "input_size": 48, "preprocessing": "unit", "pooling": "none"}


def extractor(**changes) -> keras.Model:
    recipe = FeaturesRecipe(**RECIPE | changes)
    return backbone.feature_extractor("block1_pool", recipe, Path("models/pretrained/vgg16.npz"))


def by_hand(raw: np.ndarray, size: int, preprocessing: str, layer: str) -> np.ndarray:
    """The same, with Keras's functions one after another on arrays."""
    resized = keras.ops.image.resize(raw[..., np.newaxis].astype("float32"), (size, size))
    colour = np.repeat(keras.ops.convert_to_numpy(resized), 3, axis=-1)
    if preprocessing == "unit":
        prepared = colour / 255
    else:
        prepared = keras.applications.vgg16.preprocess_input(colour)
    network = backbone.build("vgg16", [layer], size)
    with np.load("models/pretrained/vgg16.npz") as tensors:
        network.set_weights([tensors[name] for name in backbone.variables(network)])
    return network.predict(prepared, verbose=0)


@pytest.mark.parametrize(
    ("layers", "pooling", "preprocessing", "size"),
    [
        (["block1_conv1", "block1_pool"], "none", "unit", 32),
        (["block1_conv1", "block1_pool"], "avg", "imagenet", 32),
        (["block1_conv1"], "avg_2x2", "unit", 48),
        (None, "none", "imagenet", 48),
    ],
)
def test_images_are_prepared_and_layers_pooled_and_put_one_after_another(
    project, layers, pooling, preprocessing, size
):
    raw = np.load("data/clean/test_images.npy")
    recipe = {"layers": layers, "pooling": pooling, "preprocessing": preprocessing}
    model = extractor(**recipe, input_size=size)
    assert model.trainable_weights == []
    features = model.predict(raw, verbose=0)
    parts = []
    for name in layers or ["block1_pool"]:
        part = by_hand(raw, size, preprocessing, name)
        rows, height, width, channels = part.shape
        if pooling == "avg_2x2":
            part = part.reshape(rows, height // 2, 2, width // 2, 2, channels).mean(axis=(2, 4))
        elif pooling == "avg":
            part = part.mean(axis=(1, 2))
        parts.append(part.reshape(rows, -1))
    expected = np.concatenate(parts, axis=1)
    features = features.reshape(expected.shape)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5 * abs(expected).max())


def test_normalisation_is_folded_where_a_convolution_has_a_bias():
    """The same output up to rounding, with one layer less.

    Nothing is folded into a convolution without a bias, or whose own output is asked for.
    """
    layers = keras.layers
    image = keras.Input((8, 8, 3))
    folded = layers.BatchNormalization()(layers.Conv2D(4, 3, name="first")(image))
    kept = layers.BatchNormalization()(layers.Conv2D(4, 3, use_bias=False)(folded))
    asked_for = layers.Conv2D(4, 3)(kept)
    network = keras.Model(image, [asked_for, layers.BatchNormalization()(asked_for)])
    random = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 2, 4) for _ in range(4)])
    x = random.random((5, 8, 8, 3)).astype(np.float32)
    copy = backbone.fold_normalization(network)
    assert [type(layer).__name__ for layer in copy.layers].count("BatchNormalization") == 2
    for output, expected in zip(copy(x), network(x, training=False), strict=True):
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


def test_layers_and_features_that_are_not_there_are_named(project):
    set_params(project, {"features.vgg16-study.layers": ["block1_pool", "block2_pool"]})
    assert "ends before block2_conv1/kernel" in message_of(features.main, "vgg16-study")
    set_params(project, {"features.vgg16-study.layers": ["block1_pol"]})
    assert "vgg16 has no layer 'block1_pol'" in message_of(features.main, "vgg16-study")
    assert "features.vgg19 is missing" in message_of(features.main, "vgg19")
    assert not Path("data/features").exists()


def assert_its_own_images_features(folder: Path) -> None:
    """In every row, of the images and of their mirror images."""
    model = extractor()
    for split in ("train", "test"):
        raw = np.load(f"data/clean/{split}_images.npy")
        for name, images in {"features": raw, "mirrored": raw[:, :, ::-1]}.items():
            written = np.load(folder / split / f"{name}.npy", mmap_mode="r")
            assert written.dtype == np.float32
            expected = model.predict(images, verbose=0)
            np.testing.assert_allclose(written, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.kills
def test_killed_and_started_again_it_goes_on_after_the_last_finished_chunk(project, monkeypatch):
    """With chunks that do not divide the number of images, of the images and of their mirrors."""
    monkeypatch.setattr(features, "CHUNK", 20)
    set_params(project, {"features.vgg16-study.mirrored": True})
    features.main("vgg16-study")
    output = Path("data/features/vgg16-study")
    uninterrupted = contents(output)
    assert_its_own_images_features(output)

    sizes = []
    predict = keras.Model.predict_on_batch

    def interrupted(self, x):
        if len(sizes) == 4:
            raise KeyboardInterrupt
        sizes.append(len(x))
        return predict(self, x)

    with monkeypatch.context() as patch:
        patch.setattr(keras.Model, "predict_on_batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            features.main("vgg16-study")
        assert sizes == [20, 20, 10, 20]
        assert contents(output) == uninterrupted
        sizes.clear()
        sizes.extend([0] * 5)  # no further interruption
        features.main("vgg16-study")
    assert sizes[5:] == [20, 10, 10, 10]
    assert contents(output) == uninterrupted
    assert not any(Path(".work/features@vgg16-study").iterdir())


def test_a_lower_precision_is_close_and_kept_in_half_the_bytes(project):
    features.main("vgg16-study")
    output = "data/features/vgg16-study/test/features.npy"
    full = np.load(output)
    set_params(project, {"features.vgg16-study.precision": "mixed_bfloat16"})
    features.main("vgg16-study")
    half = np.load(output)
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, full, rtol=0.05, atol=0.02 * full.max())
    # Its own rounding and not float16's shows that bfloat16 was computed in.
    assert np.abs(half - full).max() > 1e-3 * full.max()
