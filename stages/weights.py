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
from stages.catalog import BACKBONES
from stages.cli import InputError, run
from stages.networks import backbone
from stages.sources import download
from stages.training.keras_setup import keras, seed_everything


def check_layers(path: Path, network: keras.Model) -> None:
    """Raise an `InputError` unless the file has every layer of `network` that has weights.

    Keras leaves a layer that a file lacks as it is, without a word.
    """
    with h5py.File(path) as file:
        missing = [
            layer.name for layer in network.layers if layer.weights and layer.name not in file
        ]
    if missing:
        raise InputError(
            f"{path} has no layer {missing[0]!r}. All layers up to backbone.{network.name}.layer "
            "must be in the file: take the published file, or an earlier layer"
        )


def tensor_sum(tensors: dict[str, np.ndarray]) -> str:
    """SHA-256 over names, shapes and float32 bytes (little-endian), in the order of the names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.shape}\n".encode())
        digest.update(tensor.astype("<f4").tobytes())
    return digest.hexdigest()


def main(name: str) -> None:
    settings = params.recipe(params.load().backbone, name, "backbone")
    published = BACKBONES[name]
    # Random weights need no file, and are the same in every run: not an experiment's to vary.
    seed_everything(0)
    network = backbone.build(name, [settings.layer])
    if settings.weights == "imagenet":
        path = download.fetch(published.files, (published.home,))
        check_layers(path, network)
        network.load_weights(path, by_name=True)
    tensors = {
        key: keras.ops.convert_to_numpy(value) for key, value in backbone.variables(network).items()
    }
    pinned = published.tensor_sums.get(settings.layer)
    if settings.weights == "imagenet" and pinned and tensor_sum(tensors) != pinned:
        raise InputError(
            f"{path}: its tensors have the checksum {tensor_sum(tensors)}, not {pinned}, which "
            "stages/catalog.py pins: they are not the published weights; fetch the file again"
        )
    with atomic_file(f"models/pretrained/{name}.npz") as unfinished:
        np.savez(unfinished, **dict(sorted(tensors.items())))
    values = sum(tensor.size for tensor in tensors.values())
    print(
        f"weights@{name}: {len(tensors)} tensors ({settings.weights}), {values:,} values, "
        f"up to {settings.layer}"
    )


if __name__ == "__main__":
    run(main, name=str)
