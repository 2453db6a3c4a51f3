"""`stages/weights.py`: reading Keras's HDF5 files, the sums, and bytes that never differ.

The published ResNet50 and VGG16 files cannot be fetched in a test; small files in the same layout
stand for them, and the tests of the mirror's files are skipped where there is no mirror.
"""

import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from stages import weights
from stages.networks import backbone
from stages.params import FeaturesRecipe
from stages.sources.download import OutsideFile
from stages.training.keras_setup import keras
from tests.helpers import message_of
from tests.project import set_params

SHALLOW = "block1_pool"  # two convolutions of VGG16, 38,720 values
SHAPES = {
    "block1_conv1/kernel": (3, 3, 3, 64),
    "block1_conv1/bias": (64,),
    "block1_conv2/kernel": (3, 3, 64, 64),
    "block1_conv2/bias": (64,),
}
# How files name the tensors of a layer: Keras's VGG16, today's Keras, and after a second model.
NAMINGS = {
    "published": {"kernel": "{layer}_W_1:0", "bias": "{layer}_b_1:0"},
    "nested": {"kernel": "{layer}/kernel:0", "bias": "{layer}/bias:0"},
    "numbered": {"kernel": "{layer}_1/kernel:0", "bias": "{layer}_1/bias:0"},
    "plain": {"kernel": "kernel", "bias": "bias"},
}


def random_tensors(shapes: dict[str, tuple[int, ...]] = SHAPES) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {name: generator.random(shape, np.float32) for name, shape in shapes.items()}


def write_hdf5(
    path: Path, tensors: dict[str, np.ndarray], naming: str = "nested", backwards: bool = False
) -> Path:
    """Write Keras's legacy layout; `backwards` and compressed, the file itself is another one."""
    listed: dict[str, list[str]] = {}
    placed = []
    for name, tensor in tensors.items():
        layer, _, variable = name.partition("/")
        stored_name = NAMINGS[naming].get(variable, variable).format(layer=layer)
        listed.setdefault(layer, []).append(stored_name)
        placed.append((f"{layer}/{stored_name}", tensor))
    with h5py.File(path, "w") as file:
        for place, tensor in reversed(placed) if backwards else placed:
            file.create_dataset(place, data=tensor, compression="gzip" if backwards else None)
        for layer, names in listed.items():
            file[layer].attrs["weight_names"] = [name.encode() for name in names]
        file.create_group("an_empty_layer").attrs["weight_names"] = np.array([], "S1")
    return path


class TestReadTensors:
    @pytest.mark.parametrize("backwards", [False, True])
    @pytest.mark.parametrize("naming", NAMINGS)
    def test_reads_every_naming(self, tmp_path, naming, backwards):
        tensors = random_tensors()
        path = write_hdf5(tmp_path / "weights.h5", tensors, naming, backwards)
        read = weights.read_tensors(path, SHAPES)
        assert read.keys() == tensors.keys()
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(read[name], tensor)

    def test_reads_what_keras_wrote(self, tmp_path):
        """A convolution and a batch normalization, whose four tensors all have one shape."""
        network = backbone.build("resnet50", ["conv1_relu"])
        variables = backbone.variables(network)
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        tensors = random_tensors(shapes)
        for name, variable in variables.items():
            variable.assign(tensors[name])
        network.save(tmp_path / "model.h5")
        path = tmp_path / "weights.h5"
        with h5py.File(tmp_path / "model.h5") as whole, h5py.File(path, "w") as file:
            for layer in whole["model_weights"]:
                whole.copy(f"model_weights/{layer}", file)
        read = weights.read_tensors(path, shapes)
        assert len(read) == 6
        for name, tensor in tensors.items():
            np.testing.assert_array_equal(read[name], tensor)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"<!DOCTYPE html><html></html>", "file signature not found"),
            (b"", "file signature not found"),
        ],
        ids=["web page", "empty"],
    )
    def test_refuses_what_is_no_hdf5(self, tmp_path, content, reason):
        path = tmp_path / "weights.h5"
        path.write_bytes(content)
        message = message_of(weights.read_tensors, path, SHAPES)
        assert message.startswith(f"{path} is no HDF5 file, or a damaged one (")
        assert reason in message

    def test_refuses_half_a_file(self, tmp_path):
        path = write_hdf5(tmp_path / "weights.h5", random_tensors())
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        message = message_of(weights.read_tensors, path, SHAPES)
        assert message.startswith(f"{path} is no HDF5 file, or a damaged one (")

    def test_names_a_missing_layer(self, tmp_path):
        tensors = {name: tensor for name, tensor in random_tensors().items() if "conv1/" in name}
        path = write_hdf5(tmp_path / "weights.h5", tensors)
        message = message_of(weights.read_tensors, path, SHAPES)
        assert message.startswith(f"{path} has no layer 'block1_conv2'. ")
        assert message.endswith("take the published file, or an earlier layer")

    def test_names_a_missing_tensor(self, tmp_path):
        tensors = random_tensors()
        del tensors["block1_conv1/bias"]
        path = write_hdf5(tmp_path / "weights.h5", tensors)
        message = message_of(weights.read_tensors, path, SHAPES)
        assert message.startswith(
            f"{path} has 1 tensors in 'block1_conv1', where 2 are expected (block1_conv1/kernel, "
            "block1_conv1/bias)"
        )

    def test_names_a_tensor_that_is_listed_and_missing(self, tmp_path):
        path = write_hdf5(tmp_path / "weights.h5", random_tensors())
        with h5py.File(path, "r+") as file:
            del file["block1_conv1/block1_conv1/bias:0"]
        message = message_of(weights.read_tensors, path, SHAPES)
        assert message.startswith(f"{path} lists a tensor 'block1_conv1/bias:0' in 'block1_conv1'")

    @pytest.mark.parametrize(
        ("tensor", "found"),
        [
            (np.zeros((3, 3, 3, 32), np.float32), "float32 (3, 3, 3, 32)"),
            (np.zeros((64, 3, 3, 3), np.float32), "float32 (64, 3, 3, 3)"),
            (np.zeros((3, 3, 3, 64), np.float64), "float64 (3, 3, 3, 64)"),
            (np.zeros((3, 3, 3, 64), np.float16), "float16 (3, 3, 3, 64)"),
        ],
    )
    def test_names_a_tensor_of_another_shape_or_type(self, tmp_path, tensor, found):
        tensors = random_tensors() | {"block1_conv1/kernel": tensor}
        path = write_hdf5(tmp_path / "weights.h5", tensors)
        message = message_of(weights.read_tensors, path, SHAPES)
        assert message.startswith(
            f"{path}: block1_conv1/kernel is {found}, where float32 (3, 3, 3, 64) is expected"
        )


class TestSums:
    def test_the_order_of_the_tensors_does_not_matter(self):
        tensors = random_tensors()
        backwards = dict(reversed(tensors.items()))
        assert weights.tensor_sum(backwards) == weights.tensor_sum(tensors)

    def test_name_shape_and_bytes_matter(self):
        tensors = random_tensors()
        name, tensor = "block1_conv1/bias", tensors["block1_conv1/bias"]
        others = {key: value for key, value in tensors.items() if key != name}
        variants = [
            tensors,
            others,
            others | {"block1_conv1/base": tensor},
            others | {name: tensor.reshape(8, 8)},
            others | {name: tensor[::-1]},
            others | {name: -tensor},
        ]
        assert len({weights.tensor_sum(variant) for variant in variants}) == len(variants)

    def test_a_single_changed_value_is_refused(self):
        tensors, path = random_tensors(), Path("weights.h5")
        pinned = weights.tensor_sum(tensors)
        weights.check_sum(path, tensors, pinned)
        kernel = tensors["block1_conv2/kernel"]
        kernel[1, 1, 5, 5] = np.nextafter(kernel[1, 1, 5, 5], np.float32(2))
        message = message_of(weights.check_sum, path, tensors, pinned)
        assert message.startswith("weights.h5: its tensors have the sum ")
        assert f"where {pinned} is pinned" in message


def written(project: Path, name: str = "vgg16") -> bytes:
    """What the stage writes for the project's params."""
    weights.main(name)
    assert list(project.rglob(".unfinished-*")) == []
    return (project / f"models/pretrained/{name}.npz").read_bytes()


class TestStage:
    def test_random_weights_are_the_same_again(self, project):
        set_params(
            project, {"backbone.vgg16.weights": "random", "backbone.vgg16.layer": "block1_pool"}
        )
        assert written(project) == written(project)
        with np.load("models/pretrained/vgg16.npz") as tensors:
            assert {name: tensors[name].shape for name in tensors} == SHAPES
            assert tensors["block1_conv2/kernel"].std() > 0

    def test_every_container_gives_the_same_bytes(self, project, tmp_path, monkeypatch):
        """The mirror's VGG16 has the published file's name and tensors, and not its layout."""
        set_params(project, {"backbone.vgg16.layer": SHALLOW})
        monkeypatch.setenv("FASHION_MIRROR", str(tmp_path))
        tensors = random_tensors()
        containers, results = set(), set()
        for naming in NAMINGS:
            for backwards in (False, True):
                path = write_hdf5(tmp_path / weights.VGG16, tensors, naming, backwards)
                pinned = hashlib.sha256(path.read_bytes()).hexdigest()
                containers.add(pinned)
                files = (OutsideFile(weights.VGG16, f"sha256:{pinned}"),)
                monkeypatch.setitem(weights.FILES, "vgg16", files)
                results.add(written(project))
        assert len(containers) == 2 * len(NAMINGS)
        assert len(results) == 1
        with np.load("models/pretrained/vgg16.npz") as read:
            for name, tensor in tensors.items():
                np.testing.assert_array_equal(read[name], tensor)

    def test_another_file_is_refused(self, project, tmp_path, monkeypatch):
        """The pinned sum of the file fails before anything in it is read."""
        path = write_hdf5(tmp_path / weights.VGG16, random_tensors())
        monkeypatch.setenv("FASHION_MIRROR", str(tmp_path))
        assert message_of(weights.main, "vgg16").startswith(f"{path} is another file: its sum is")
        assert not (project / "models").exists()

    def test_other_tensors_are_refused(self, project, tmp_path, monkeypatch):
        """The pinned sum of the tensors is the second check."""
        path = write_hdf5(tmp_path / weights.VGG16, random_tensors())
        monkeypatch.setenv("FASHION_MIRROR", str(tmp_path))
        pinned = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        monkeypatch.setitem(weights.FILES, "vgg16", (OutsideFile(weights.VGG16, pinned),))
        monkeypatch.setitem(weights.TENSOR_SUMS, ("vgg16", SHALLOW), "0" * 64)
        set_params(project, {"backbone.vgg16.layer": SHALLOW})
        assert message_of(weights.main, "vgg16").startswith(f"{path}: its tensors have the sum")
        assert not (project / "models").exists()

    def test_an_unknown_layer_is_named(self, project):
        set_params(project, {"backbone.vgg16.layer": "block6_pool"})
        message = message_of(weights.main, "vgg16")
        assert message.startswith("params.yaml: vgg16 has no layer 'block6_pool'; its last layers")
        assert "block5_conv3, block5_pool. Correct backbone.vgg16.layer" in message

    def test_an_unknown_backbone_is_named(self, project):
        message = message_of(weights.main, "vgg19")
        assert message.startswith("params.yaml: backbone.vgg19 is missing; backbone has resnet50, ")


def test_the_whole_resnet50_works_with_random_weights():
    """The mirror's file ends at conv4_block6_out, but the study's network at conv5_block3_out."""
    network = backbone.build("resnet50", ["conv5_block3_out"])
    features = network(np.random.default_rng(0).random((2, 32, 32, 3), np.float32))
    assert features.shape == (2, 1, 1, 2048)
    assert np.isfinite(keras.ops.convert_to_numpy(features)).all()


class TestMirror:
    """The published tensors."""

    @pytest.fixture
    def project(self, project, mirror, monkeypatch):
        monkeypatch.setenv("FASHION_MIRROR", str(mirror))
        return project

    @pytest.mark.parametrize(
        ("name", "layer"), [("vgg16", "block5_pool"), ("resnet50", "conv4_block6_out")]
    )
    def test_tensors_are_the_pinned_ones(self, project, name, layer):
        weights.main(name)
        with np.load(f"models/pretrained/{name}.npz") as tensors:
            found = weights.tensor_sum(dict(tensors))
        assert found == weights.TENSOR_SUMS[name, layer]

    def test_a_layer_that_the_mirrors_resnet50_lacks_is_named(self, project, mirror):
        set_params(project, {"backbone.resnet50.layer": "conv5_block3_out"})
        message = message_of(weights.main, "resnet50")
        assert message.startswith(f"{mirror / 'resnet50_imagenet_conv1_to_conv4.h5'} has no layer ")
        assert not (project / "models").exists()

    def test_vgg16_features_equal_keras_own(self, project, mirror):
        """The stage's tensors in `feature_extractor`, against Keras's own way of reading them."""
        weights.main("vgg16")
        raw = np.random.default_rng(0).integers(0, 256, (4, 28, 28)).astype(np.float32)
        reference = keras.applications.VGG16(
            weights=None, include_top=False, input_shape=(48, 48, 3)
        )
        reference.load_weights(mirror / weights.VGG16)
        images = keras.ops.image.resize(np.stack([raw] * 3, axis=-1), (48, 48))
        inputs = {
            "unit": images / 255,
            "imagenet": keras.applications.vgg16.preprocess_input(images),
        }
        for preprocessing, prepared in inputs.items():
            recipe = FeaturesRecipe(
                backbone="vgg16", input_size=48, preprocessing=preprocessing, pooling="none"
            )
            extractor = backbone.feature_extractor(
                "block5_pool", recipe, Path("models/pretrained/vgg16.npz")
            )
            found = keras.ops.convert_to_numpy(extractor(raw))
            expected = keras.ops.convert_to_numpy(reference(prepared))
            assert expected.shape == (4, 1, 1, 512)
            assert expected.max() > 0
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * expected.max())
