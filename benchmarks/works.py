"""What is measured, and by whom: this pipeline, Keras with its defaults, PyTorch by hand.

A rival is a function of a number of images, a network and a recipe. It gets ready, and returns what
makes one pass over the images. It imports its backend itself, because each is measured in its own
process. Images, features and weights are random: speed does not depend on them.
"""

import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages import params
from stages.catalog import HEADS

Pass = Callable[[], object]
Rival = Callable[[int, str, str], Pass]
PIPELINE, TORCH = "this pipeline", "PyTorch by hand"
SECONDS = 2  # the shortest turn; it has at least one pass
# The shape of one image, or of its features, by network and recipe.
SHAPES = {
    ("lenet", "study"): (28, 28, 1),
    ("lenet", "improved"): (28, 28, 1),
    ("resnet", "study"): (1024,),
    ("resnet", "improved"): (1536,),
    ("vgg", "study"): (1, 1, 512),
    ("vgg", "improved"): (4, 4, 512),
}


class Work(NamedTuple):
    """goal: how many times as fast as Keras the pipeline should be."""

    title: str
    network: str
    recipe: str
    images: int
    goal: float
    rivals: dict[str, Rival]


def turn(rival: Rival, work: Work) -> float:
    """Images per second.

    It is in this module because new processes do not load the `__main__` of a package.
    """
    one_pass = rival(work.images, work.network, work.recipe)
    one_pass()
    passes, started = 0, time.perf_counter()
    while not passes or time.perf_counter() - started < SECONDS:
        one_pass()
        passes += 1
    return passes * work.images / (time.perf_counter() - started)


def random_data(images: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, float32 in 0-1 (images, *shape), and one-hot labels (images, 10)."""
    random = np.random.default_rng(0)
    labels = np.eye(10, dtype=np.float32)[random.integers(0, 10, images)]
    return random.random((images, *shape), np.float32), labels


def recipe_of(network: str, name: str) -> params.TrainingRecipe:
    """The recipe of a training, with numbers in place of what `tune` finds."""
    recipe = getattr(params.load(), network)[name]
    if network == "lenet" and name == "study":
        recipe = recipe.model_copy(update={"units": 248, "learning_rate": 0.001})
    return recipe


def build(network: str, name: str):
    """The network of a recipe, not compiled."""
    from stages.networks import heads, lenet

    recipe = recipe_of(network, name)
    if network in HEADS:
        return heads.build_head(SHAPES[network, name], 10, recipe, network)
    options = ("batch_normalization", "dropout", "flip", "shift", "erasing")
    return lenet.build(recipe.units, 10, **{key: getattr(recipe, key) for key in options})


def pipeline_training(images: int, network: str, name: str) -> Pass:
    """An epoch as every training of the pipeline runs it, but for its callbacks."""
    from stages.networks import heads
    from stages.training import batches, fitting
    from stages.training.keras_setup import keras, seed_everything, use_deterministic_operations

    seed_everything(0)
    recipe = recipe_of(network, name)
    keras.config.set_dtype_policy(recipe.precision or "float32")
    model, (x, y) = build(network, name), random_data(images, SHAPES[network, name])
    options = {"jit_compile": heads.uses_xla(recipe)} if network in HEADS else {}
    fitting.compile_classifier(model, recipe, len(x), **options)
    use_deterministic_operations()
    rows = batches.Batches([x], y, np.arange(len(x)), recipe.batch_size, seed=0)
    return lambda: model.fit(rows, shuffle=False, verbose=0)


def keras_training(images: int, network: str, name: str) -> Pass:
    """An epoch of the same network in float32, with Keras's defaults."""
    model, (x, y) = build(network, name), random_data(images, SHAPES[network, name])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    batch_size = recipe_of(network, name).batch_size
    return lambda: model.fit(x, y, batch_size=batch_size, verbose=0)


def torch_training(images: int, network: str, name: str) -> Pass:
    """An epoch by hand: channels last, Adam fused, without augmentation and normalisation."""
    import torch
    from torch import nn

    recipe = recipe_of(network, name)
    x, y = map(torch.from_numpy, random_data(images, SHAPES[network, name]))
    if network == "lenet":
        x = x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        stack = [nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
        stack += [nn.Conv2d(32, 48, 5), nn.ReLU(), nn.MaxPool2d(2)]
        widths = [1200, recipe.units, 84]
    else:
        stack = [nn.Dropout(recipe.input_dropout or 0)]
        widths = [x[0].numel(), *[recipe.dense_units] * recipe.dense_layers]
    stack.append(nn.Flatten())
    for inputs, outputs in pairwise(widths):
        stack += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(recipe.dropout or 0)]
    model = nn.Sequential(*stack, nn.Linear(widths[-1], 10)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    labels = y.argmax(dim=1)

    def epoch() -> float:
        right = torch.zeros((), dtype=torch.int64)
        for rows in torch.randperm(len(x)).split(recipe.batch_size):
            scores = model(x[rows])
            loss = nn.functional.cross_entropy(scores, labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right += (scores.argmax(dim=1) == labels[rows]).sum()
        return int(right) / len(x)

    return epoch


def features_recipe(network: str, name: str) -> tuple[params.FeaturesRecipe, list[str]]:
    """The recipe of the features of a head's recipe, and their layers."""
    settings = params.load()
    recipe = settings.features[recipe_of(network, name).features]
    return recipe, recipe.layers or [settings.backbone[recipe.backbone].layer]


def pipeline_features(images: int, network: str, name: str) -> Pass:
    """From raw images (n, 28, 28), which the pipeline resizes; its rival gets them resized."""
    from stages import features
    from stages.networks import backbone

    recipe, layers = features_recipe(network, name)
    tensors = backbone.variables(backbone.build(recipe.backbone, layers))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tensors.npz"
        np.savez(path, **{key: value.numpy() for key, value in tensors.items()})
        extractor = backbone.feature_extractor(layers[-1], recipe, path)
    raw = np.random.default_rng(0).integers(0, 256, (images, 28, 28), np.uint8)
    return lambda: features.by_batches(extractor, raw)


def keras_features(images: int, network: str, name: str) -> Pass:
    """The frozen network with `model.predict`."""
    import keras

    from stages.networks import backbone

    recipe, layers = features_recipe(network, name)
    keras.config.set_dtype_policy(recipe.precision or "float32")
    model = backbone.build(recipe.backbone, layers, recipe.input_size)
    model = keras.Model(model.input, backbone.pooled(recipe, model.outputs))
    x, _ = random_data(images, (recipe.input_size, recipe.input_size, 3))
    return lambda: model.predict(x, batch_size=100, verbose=0)


KERAS = {PIPELINE: pipeline_training, "Keras's defaults": keras_training}
BOTH = {**KERAS, TORCH: torch_training}
FEATURES = {PIPELINE: pipeline_features, "`model.predict`": keras_features}
WORKS = [
    Work("LeNet-5 trained, `study`", "lenet", "study", 64 * 200, 1, BOTH),
    Work("LeNet-5 trained, `improved`", "lenet", "improved", 128 * 60, 1, KERAS),
    Work("ResNet50's head trained, `study`", "resnet", "study", 64 * 600, 2, BOTH),
    Work("ResNet50's head trained, `improved`", "resnet", "improved", 128 * 100, 2, BOTH),
    Work("VGG16's head trained, `study`", "vgg", "study", 64 * 40, 2, BOTH),
    Work("VGG16's head trained, `improved`", "vgg", "improved", 128 * 40, 2, BOTH),
    Work("ResNet50's features, `study`", "resnet", "study", 600, 1.5, FEATURES),
    Work("ResNet50's features, `improved`", "resnet", "improved", 200, 1.5, FEATURES),
    Work("VGG16's features, `study`", "vgg", "study", 600, 1.5, FEATURES),
    Work("VGG16's features, `improved`", "vgg", "improved", 200, 1.5, FEATURES),
]
