"""The features of a frozen backbone: random weights, since speed does not depend on them.

The pipeline takes images of 28x28 and resizes them; its rivals get them resized.
"""

import tempfile
from pathlib import Path

from benchmarks.limits import matrix_product
from benchmarks.rounds import ONEDNN_ON, PIPELINE, Pass, Rival, Work

LAST = {"vgg16": "block5_pool", "resnet50": "conv4_block6_out"}
IMAGES = {32: 1000, 48: 600, 96: 200}  # in a pass, by their side
BATCH = 100
# Of one image at 32x32, to the layer above; it grows with the area.
FLOP = {"vgg16": 0.627e9, "resnet50": 0.127e9}


def pipeline(name: str, side: int, precision: str) -> Pass:
    import numpy as np

    from stages import features
    from stages.networks import backbone
    from stages.params import FeaturesRecipe
    from stages.training.keras_setup import use_deterministic_operations

    use_deterministic_operations()
    network = backbone.build(name, [LAST[name]], side)
    with tempfile.TemporaryDirectory() as folder:
        tensors = Path(folder) / "tensors.npz"
        np.savez(
            tensors, **{key: each.numpy() for key, each in backbone.variables(network).items()}
        )
        recipe = FeaturesRecipe(
            backbone=name,
            input_size=side,
            preprocessing="unit",
            pooling="none" if name == "vgg16" else "avg",
            precision=None if precision == "float32" else "mixed_bfloat16",
        )
        extractor = backbone.feature_extractor(LAST[name], recipe, tensors)
    x = np.random.default_rng(0).integers(0, 256, (IMAGES[side], 28, 28), np.uint8)
    return len(x), lambda: features.by_batches(extractor, x)


def resized(side: int):
    import numpy as np

    return np.random.default_rng(0).random((IMAGES[side], side, side, 3), np.float32)


def keras_network(name: str, side: int):
    import keras

    application = {"vgg16": keras.applications.VGG16, "resnet50": keras.applications.ResNet50}
    shape = (side, side, 3)
    whole = application[name](weights=None, include_top=False, input_shape=shape)
    output = whole.get_layer(LAST[name]).output
    if name == "resnet50":
        output = keras.layers.GlobalAveragePooling2D()(output)
    return keras.Model(whole.input, output)


def keras_predict(name: str, side: int, precision: str) -> Pass:
    """`model.predict` as Keras has it, in the pipeline's batches."""
    import keras

    keras.config.set_dtype_policy("float32" if precision == "float32" else "mixed_bfloat16")
    x, network = resized(side), keras_network(name, side)
    return len(x), lambda: network.predict(x, batch_size=BATCH, verbose=0)


def torch_network(name: str):
    """The same network as Keras's, layer by layer, as far as `LAST`."""
    import torch
    from torch import nn

    def block(inside: int, width: int, stride: int, shortcut: bool) -> nn.Module:
        outside = 4 * width

        def convolution(i: int, o: int, kernel: int, stride: int = 1) -> list[nn.Module]:
            return [nn.Conv2d(i, o, kernel, stride, kernel // 2), nn.BatchNorm2d(o)]

        class Bottleneck(nn.Module):
            def __init__(self):
                super().__init__()
                self.way = nn.Sequential(
                    *(*convolution(inside, width, 1, stride), nn.ReLU()),
                    *(*convolution(width, width, 3), nn.ReLU()),
                    *convolution(width, outside, 1),
                )
                way = convolution(inside, outside, 1, stride) if shortcut else [nn.Identity()]
                self.shortcut = nn.Sequential(*way)

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return torch.relu(self.way(x) + self.shortcut(x))

        return Bottleneck()

    layers: list[nn.Module] = []
    if name == "vgg16":
        inside = 3
        for width, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            for _ in range(convolutions):
                layers += [nn.Conv2d(inside, width, 3, padding=1), nn.ReLU()]
                inside = width
            layers.append(nn.MaxPool2d(2))
        return nn.Sequential(*layers)
    layers = [nn.Conv2d(3, 64, 7, 2, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inside = 64
    for number, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6))):
        for position in range(blocks):
            stride = 2 if number and not position else 1
            layers.append(block(inside, width, stride, shortcut=not position))
            inside = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def torch_loop(name: str, side: int, precision: str) -> Pass:
    """By hand, channels last, in the pipeline's batches."""
    import torch

    dtype = getattr(torch, precision)
    x = torch.from_numpy(resized(side)).permute(0, 3, 1, 2)
    x = x.contiguous(memory_format=torch.channels_last)
    network = torch_network(name).eval().to(dtype=dtype, memory_format=torch.channels_last)

    @torch.inference_mode()
    def predict():
        return torch.cat([network(part.to(dtype)).float() for part in x.split(BATCH)])

    return len(x), predict


def work(name: str, side: int, precision: str) -> Work:
    chosen = (name, side, precision)
    flop = FLOP[name] * (side / 32) ** 2
    limits = {
        "matrix product, TensorFlow": Rival(matrix_product, (flop, "tensorflow", precision)),
        "matrix product, PyTorch": Rival(matrix_product, (flop, "torch", precision), needs="torch"),
    }
    network = {"vgg16": "VGG16", "resnet50": "ResNet50"}[name]
    return Work(
        title=f"{network}'s features, {side}x{side}, {precision}",
        rivals={
            PIPELINE: Rival(pipeline, chosen),
            "model.predict": Rival(keras_predict, chosen, ONEDNN_ON),
            "PyTorch by hand, channels last": Rival(torch_loop, chosen, needs="torch"),
            **limits,
        },
        limits=tuple(limits),
        short=side == 48,
    )


WORKS = {
    f"{name}-{side}-{precision}": work(name, side, precision)
    for name in LAST
    for side in IMAGES
    for precision in ("float32", "bfloat16")
}
