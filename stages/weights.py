"""Bring a backbone's ImageNet weights in from outside, checked, as plain tensors.

Reads Keras's published HDF5 file, or the mirror's. Writes `models/pretrained/BACKBONE.npz`: the
tensors of the layers up to `backbone.BACKBONE.layer`, float32, each under `layer/variable`. The
same tensors give the same bytes, whichever file they came from.
"""

import hashlib
from pathlib import Path

import h5py
import numpy as np

from stages import params
from stages.base.files import atomic_file
from stages.cli import InputError, run
from stages.networks import backbone
from stages.sources import download
from stages.sources.download import OutsideFile
from stages.training.keras_setup import keras, seed_everything

HOMES = {
    "vgg16": ("https://storage.googleapis.com/tensorflow/keras-applications/vgg16",),
    "resnet50": ("https://storage.googleapis.com/tensorflow/keras-applications/resnet",),
}

# The MD5 sums are those that Keras itself pins (keras/src/applications). The other files hold the
# same tensors in another container: the first all layers, the second those up to conv4_block6_out.
VGG16 = "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5"
FILES = {
    "vgg16": (
        OutsideFile(VGG16, "md5:6d6bbae143d832006294945121d1f1fc"),
        OutsideFile(
            VGG16, "sha256:56fc6fafddce31d459eb76f99700fbf28c3223c891adb88224f22f75962cad61"
        ),
    ),
    "resnet50": (
        OutsideFile(
            "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
            "md5:4d473c1dd8becc155b73f8504c6f6626",
        ),
        OutsideFile(
            "resnet50_imagenet_conv1_to_conv4.h5",
            "sha256:05324203d5a886b69613ff183d331b16a9deba445d104cf8f3c6a49df43ed12e",
        ),
    ),
}
# Sums over the tensors themselves (`tensor_sum`), by backbone and layer.
TENSOR_SUMS = {
    ("vgg16", "block5_pool"): ("a72a2735161573acfc8ca824f2470bea0dfb503a366e5f5d9d0a0cd19346bf47"),
    ("resnet50", "conv4_block6_out"): (
        "f4cc91763b97a6da2061f93989dd39e4525ebceae9fec1d359a1ab29c83cbb84"
    ),
}


def read_tensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Read the tensors that `shapes` names from a Keras HDF5 file in the legacy layout.

    In that layout every layer has a group whose attribute `weight_names` lists its tensors
    (https://keras.io/api/models/model_saving_apis/weights_saving_and_loading/). As in Keras, their
    order counts and not their names, which vary: Keras's VGG16 has `block1_conv1_W_1:0` for what
    other files call `block1_conv1/kernel:0`.

    Raises:
        InputError: no HDF5 file; a layer or tensor is missing, or is no float32 of its shape.
    """
    try:
        with h5py.File(path) as file:
            return _tensors(path, file, shapes)
    except InputError:
        raise
    except Exception as error:  # damaged files have made h5py raise nearly everything
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path} is no HDF5 file, or a damaged one ({reason}); fetch it again"
        ) from None


def _tensors(
    path: Path, file: h5py.File, shapes: dict[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    names_by_layer: dict[str, list[str]] = {}
    for name in shapes:
        names_by_layer.setdefault(name.partition("/")[0], []).append(name)
    tensors = {}
    for layer, names in names_by_layer.items():
        if layer not in file:
            raise InputError(
                f"{path} has no layer {layer!r}. The layers that backbone.*.layer needs must "
                "all be in the file: take the published file, or an earlier layer"
            )
        group = file[layer]
        stored = group.attrs.get("weight_names", np.array([])).astype(str)
        if len(stored) != len(names):
            raise InputError(
                f"{path} has {len(stored)} tensors in {layer!r}, where {len(names)} are "
                f"expected ({', '.join(names)}); it belongs to another network: fetch it again"
            )
        for name, stored_name in zip(names, stored, strict=True):
            tensor, shape = group.get(stored_name), shapes[name]
            if not isinstance(tensor, h5py.Dataset):
                raise InputError(
                    f"{path} lists a tensor {str(stored_name)!r} in {layer!r} and does not "
                    "have it; fetch it again"
                )
            if tensor.shape != shape or tensor.dtype != np.float32:
                raise InputError(
                    f"{path}: {name} is {tensor.dtype} {tensor.shape}, where float32 {shape} "
                    "is expected; it belongs to another network: fetch it again"
                )
            tensors[name] = tensor[()]
    return tensors


def tensor_sum(tensors: dict[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes and float32 bytes (little-endian), in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.shape}\n".encode())
        digest.update(tensor.astype("<f4").tobytes())
    return digest.hexdigest()


def check_sum(path: Path, tensors: dict[str, np.ndarray], pinned: str) -> None:
    """Raise an `InputError` unless `tensor_sum` gives `pinned`."""
    found = tensor_sum(tensors)
    if found != pinned:
        raise InputError(
            f"{path}: its tensors have the sum {found}, where {pinned} is pinned: they are not the "
            "published weights; fetch the file again"
        )


def main(name: str) -> None:
    settings = params.recipe(params.load().backbone, name, "backbone")
    # A stand-in that needs no file, the same for every run: not an experiment's to vary.
    seed_everything(0)
    variables = backbone.variables(backbone.build(name, [settings.layer]))
    if settings.weights == "random":
        tensors = {name: keras.ops.convert_to_numpy(value) for name, value in variables.items()}
    else:
        path = download.fetch(FILES[name], HOMES[name])
        tensors = read_tensors(path, {key: tuple(value.shape) for key, value in variables.items()})
        if pinned := TENSOR_SUMS.get((name, settings.layer)):
            check_sum(path, tensors, pinned)
    with atomic_file(f"models/pretrained/{name}.npz") as unfinished:
        np.savez(unfinished, **dict(sorted(tensors.items())))
    values = sum(tensor.size for tensor in tensors.values())
    print(
        f"weights@{name}: {len(tensors)} tensors ({settings.weights}), {values:,} values, "
        f"up to {settings.layer}"
    )


if __name__ == "__main__":
    run(main, name=str)
