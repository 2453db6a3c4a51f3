"""The pipeline's own work by each of Keras's backends, on whatever device it finds.

The rivals are the same code with another `KERAS_BACKEND`. Images and weights are random, so nothing
is fetched. Measured only by name, as on a machine with a GPU:
`python -m benchmarks on-backends-lenet on-backends-vgg-head`.
"""

from collections.abc import Callable
from typing import Any

from benchmarks import features, heads, lenet
from benchmarks.rounds import PIPELINE, Pass, Rival, Work

# Each would take a GPU's whole memory for itself.
SHARED = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}


def work(title: str, prepare: Callable[..., Pass], arguments: tuple[Any, ...]) -> Work:
    rivals = {
        name: Rival(prepare, arguments, {"KERAS_BACKEND": backend} | SHARED, backend)
        for name, backend in (
            (PIPELINE, "tensorflow"),
            (f"{PIPELINE} on JAX", "jax"),
            (f"{PIPELINE} on PyTorch", "torch"),
        )
    }
    return Work(f"{title}, by backend", rivals)


WORKS = {
    "on-backends-lenet": work("Training LeNet-5", lenet.pipeline, ("float32", True)),
    "on-backends-resnet-head": work("Training ResNet50's head", heads.pipeline, ("resnet",)),
    "on-backends-vgg-head": work("Training VGG16's head", heads.pipeline, ("vgg",)),
    "on-backends-resnet50": work(
        "ResNet50's features, 48x48", features.pipeline, ("resnet50", 48, "float32")
    ),
    "on-backends-vgg16": work(
        "VGG16's features, 48x48", features.pipeline, ("vgg16", 48, "float32")
    ),
}
