"""`stages/weights.py`: the published files, their sums, and the same bytes from any container.

The published files cannot be fetched in a test; small files in the same layout stand for them, and
the tests of the mirror's files are skipped where there is no mirror.
"""

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from stages import weights
from stages.catalog import BACKBONES, OutsideFile
from stages.networks import backbone
from stages.params import FeaturesRecipe
from stages.training.keras_setup import keras
from tests.helpers import message_of
from tests.project import set_params

VGG16 = BACKBONES["vgg16"].files[0].name
SHALLOW = "block1_pool"  # two convolutions of VGG16, 38,720 values
SHAPES = {
    "block1_conv1/kernel": (3, 3, 3, 64),
    "block1_conv1/bias": (64,),
    "block1_conv2/kernel": (3, 3, 64, 64),
    "block1_conv2/bias": (64,),
}
# The names of a layer's tensors in files: Keras's VGG16, today's Keras, and after a second model.
NAMINGS = {
    "published": {"kernel": "{layer}_W_1:0", "bias": "{layer}_b_1:0"},
    "nested": {"kernel": "{layer}/kernel:0", "bias": "{layer}/bias:0"},
    "numbered": {"kernel": "{layer}_1/kernel:0", "bias": "{layer}_1/bias:0"},
}


def random_tensors() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {name: generator.random(shape, np.float32) for name, shape in SHAPES.items()}


def write_hdf5(
    path: Path, tensors: dict[str, np.ndarray], naming: str = "nested", **options: str
) -> Path:
    """Write Keras's legacy layout, with h5py's options."""
    listed: dict[str, list[str]] = {}
    with h5py.File(path, "w") as file:
        for name, tensor in tensors.items():
            layer, _, variable = name.partition("/")
            stored_name = NAMINGS[naming][variable].format(layer=layer)
            listed.setdefault(layer, []).append(stored_name)
            file.create_dataset(f"{layer}/{stored_name}", data=tensor, **options)
        for layer, names in listed.items():
            file[layer].attrs["weight_names"] = [name.encode() for name in names]
        file.attrs["layer_names"] = [name.encode() for name in listed]
    return path


def pin(monkeypatch: pytest.MonkeyPatch, path: Path, **sums: dict[str, str]) -> None:
    """Let the catalog pin the file at `path` for VGG16."""
    pinned = hashlib.sha256(path.read_bytes()).hexdigest()
    files = (OutsideFile(VGG16, f"sha256:{pinned}"),)
    changed = BACKBONES["vgg16"]._replace(files=files, **sums)
    monkeypatch.setitem(BACKBONES, "vgg16", changed)
    monkeypatch.setenv("FASHION_MIRROR", str(path.parent))


def written(project: Path) -> bytes:
    """The output of the stage for the project's params."""
    weights.main("vgg16")
    return (project / "models/pretrained/vgg16.npz").read_bytes()


def test_name_shape_and_bytes_matter_to_the_sum_and_the_order_does_not():
    tensors = random_tensors()
    assert weights.tensor_sum(dict(reversed(tensors.items()))) == weights.tensor_sum(tensors)
    bias = tensors.pop("block1_conv1/bias")
    nearly = np.nextafter(bias, np.float32(2))
    variants = [{"block1_conv1/bias": other} for other in (bias, nearly, bias.reshape(8, 8))]
    variants += [{}, {"block1_conv1/base": bias}]
    assert len({weights.tensor_sum(tensors | variant) for variant in variants}) == len(variants)


def test_random_weights_are_the_same_again(project):
    changes = {"backbone.vgg16.weights": "random", "backbone.vgg16.layer": SHALLOW}
    set_params(project, changes)
    assert written(project) == written(project)
    with np.load("models/pretrained/vgg16.npz") as tensors:
        assert {name: tensors[name].shape for name in tensors} == SHAPES
        assert tensors["block1_conv2/kernel"].std() > 0


def test_every_container_gives_the_same_bytes(project, tmp_path, monkeypatch):
    """The mirror's VGG16 has the published file's name and tensors, and another layout."""
    set_params(project, {"backbone.vgg16.layer": SHALLOW})
    tensors = random_tensors()
    results = set()
    for naming in NAMINGS:
        pin(monkeypatch, write_hdf5(tmp_path / VGG16, tensors, naming, compression="gzip"))
        results.add(written(project))
    assert len(results) == 1
    with np.load("models/pretrained/vgg16.npz") as read:
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(read[name], tensor)


@pytest.mark.outside
def test_another_file_and_other_tensors_are_refused(project, tmp_path, monkeypatch):
    """The pinned sum of the file comes before anything in it is read, that of the tensors after."""
    set_params(project, {"backbone.vgg16.layer": SHALLOW})
    path = write_hdf5(tmp_path / VGG16, random_tensors())
    monkeypatch.setenv("FASHION_MIRROR", str(tmp_path))
    assert VGG16 in message_of(weights.main, "vgg16")
    pin(monkeypatch, path, tensor_sums={SHALLOW: "0" * 64})
    assert "its tensors have the checksum" in message_of(weights.main, "vgg16")
    assert not (project / "models").exists()


def test_missing_layers_and_backbones_are_named(project, tmp_path, monkeypatch):
    tensors = {name: tensor for name, tensor in random_tensors().items() if "conv1/" in name}
    pin(monkeypatch, write_hdf5(tmp_path / VGG16, tensors))
    set_params(project, {"backbone.vgg16.layer": SHALLOW})
    assert "has no layer 'block1_conv2'" in message_of(weights.main, "vgg16")
    set_params(project, {"backbone.vgg16.layer": "block6_pool"})
    assert "vgg16 has no layer 'block6_pool'" in message_of(weights.main, "vgg16")
    assert "backbone.vgg19 is missing" in message_of(weights.main, "vgg19")
    assert not (project / "models").exists()


class TestMirror:
    """The published tensors."""

    @pytest.fixture
    def project(self, project, mirror, monkeypatch):
        monkeypatch.setenv("FASHION_MIRROR", str(mirror))
        return project

    def test_vgg16s_tensors_are_the_pinned_ones(self, project):
        weights.main("vgg16")
        with np.load("models/pretrained/vgg16.npz") as tensors:
            found = weights.tensor_sum(dict(tensors))
        assert found == BACKBONES["vgg16"].tensor_sums["block5_pool"]

    @pytest.mark.long
    def test_resnet50_with_its_normalisation_folded_is_keras_own(self, project, mirror):
        """The features, against Keras's network and preprocessing with the same file."""
        weights.main("resnet50")
        raw = np.random.default_rng(0).integers(0, 256, (4, 28, 28)).astype(np.float32)
        whole = keras.applications.ResNet50(
            weights=None, include_top=False, input_shape=(48, 48, 3)
        )
        whole.load_weights(mirror / BACKBONES["resnet50"].files[1].name, by_name=True)
        reference = keras.Model(whole.input, whole.get_layer("conv4_block6_out").output)
        images = keras.ops.image.resize(np.stack([raw] * 3, axis=-1), (48, 48))
        expected = np.asarray(reference(keras.applications.resnet50.preprocess_input(images)))
        recipe = FeaturesRecipe(
            backbone="resnet50", input_size=48, preprocessing="imagenet", pooling="none"
        )
        tensors = Path("models/pretrained/resnet50.npz")
        extractor = backbone.feature_extractor("conv4_block6_out", recipe, tensors)
        assert expected.max() > 0
        np.testing.assert_allclose(extractor(raw), expected, atol=1e-4 * expected.max())
