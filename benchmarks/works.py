"""What is measured, and by whom: this pipeline, Keras with its defaults, PyTorch by hand.

A rival is a function of a number of images and a network, of which it takes the recipe `study`. It
gets ready, and returns what makes one pass over the images. It imports its backend itself, because
each is measured in its own process. Images and features are random: speed does not depend on them.
"""

import time
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from stages import params
from stages.catalog import HEADS
from stages.results import study

Pass = Callable[[], object]
Rival = Callable[[int, str], Pass]
PIPELINE, TORCH = "this pipeline", "PyTorch by hand"
# The shape of one image, or of its features.
SHAPES = {"lenet": (28, 28, 1), "resnet": (1024,), "vgg": (1, 1, 512)}


class Work(NamedTuple):
    """goal: how many times as fast as Keras the pipeline should be."""

    title: str
    network: str
    images: int
    goal: float
    rivals: dict[str, Rival]


def turn(rival: Rival, work: Work, seconds: float) -> float:
    """Images per second, over at least so many seconds and one pass.

    It is in this module because new processes do not load the `__main__` of a package.
    """
    one_pass = rival(work.images, work.network)
    one_pass()
    passes, started = 0, time.perf_counter()
    while not passes or time.perf_counter() - started < seconds:
        one_pass()
        passes += 1
    return passes * work.images / (time.perf_counter() - started)


def random_data(images: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Inputs, float32 in 0-1 (images, *shape), and one-hot labels (images, 10)."""
    random = np.random.default_rng(0)
    labels = np.eye(10, dtype=np.float32)[random.integers(0, 10, images)]
    return random.random((images, *shape), np.float32), labels


def recipe_of(network: str) -> params.TrainingRecipe:
    """The recipe of a training, with the study's numbers in place of what `tune` finds."""
    recipe = getattr(params.load(), network)["study"]
    return recipe if network in HEADS else recipe.model_copy(update=study.HYPERPARAMETERS)


def build(network: str):
    """The network, not compiled."""
    from stages.networks import heads, lenet

    recipe = recipe_of(network)
    if network in HEADS:
        return heads.build_head(SHAPES[network], 10, recipe, network)
    return lenet.build(recipe.units, 10)


def pipeline_training(images: int, network: str) -> Pass:
    """An epoch as every training of the pipeline runs it, but for its callbacks."""
    from stages.networks import heads
    from stages.training import batches, fitting
    from stages.training.keras_setup import seed_everything, use_deterministic_operations

    seed_everything(0)
    recipe = recipe_of(network)
    model, (x, y) = build(network), random_data(images, SHAPES[network])
    options = {"jit_compile": heads.uses_xla(recipe)} if network in HEADS else {}
    fitting.compile_classifier(model, recipe, len(x), **options)
    use_deterministic_operations()
    rows = batches.Batches([x], y, np.arange(len(x)), recipe.batch_size, seed=0)
    return lambda: model.fit(rows, shuffle=False, verbose=0)


def keras_training(images: int, network: str) -> Pass:
    """An epoch of the same network with Keras's defaults."""
    model, (x, y) = build(network), random_data(images, SHAPES[network])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    batch_size = recipe_of(network).batch_size
    return lambda: model.fit(x, y, batch_size=batch_size, verbose=0)


def torch_training(images: int, network: str) -> Pass:
    """An epoch by hand: channels last, Adam fused."""
    import torch
    from torch import nn

    recipe = recipe_of(network)
    x, y = map(torch.from_numpy, random_data(images, SHAPES[network]))
    if network == "lenet":
        x = x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        stack = [nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
        stack += [nn.Conv2d(32, 48, 5), nn.ReLU(), nn.MaxPool2d(2)]
        widths = [1200, recipe.units, 84]
    else:
        stack, widths = [], [x[0].numel(), *[recipe.dense_units] * recipe.dense_layers]
    stack.append(nn.Flatten())
    for inputs, outputs in pairwise(widths):
        stack += [nn.Linear(inputs, outputs), nn.ReLU()]
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


RIVALS = {PIPELINE: pipeline_training, "Keras's defaults": keras_training, TORCH: torch_training}
WORKS = [
    Work("LeNet-5 trained, `study`", "lenet", 64 * 200, 1, RIVALS),
    Work("ResNet50's head trained, `study`", "resnet", 64 * 600, 2, RIVALS),
    Work("VGG16's head trained, `study`", "vgg", 64 * 40, 2, RIVALS),
]
