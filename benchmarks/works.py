"""What is measured, and by whom: this pipeline, Keras with its defaults, PyTorch by hand.

Images, features and weights are random, because speed does not depend on them. A rival's function
imports its backend itself, so that each process loads only its own.
"""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from stages.catalog import HEADS

PIPELINE = "this pipeline"
# What the user has set is not set for the rivals.
CHOSEN_BY_RIVALS = ("KERAS_BACKEND", "TF_ENABLE_ONEDNN_OPTS")
EPOCHS = 30  # of a head, in the study
# The shape of one image, or of its features, by network and recipe.
SHAPES = {
    ("lenet", "study"): (28, 28, 1),
    ("lenet", "improved"): (28, 28, 1),
    ("resnet", "study"): (1024,),
    ("resnet", "improved"): (1536,),
    ("vgg", "study"): (1, 1, 512),
    ("vgg", "improved"): (4, 4, 512),
}


@dataclass(frozen=True)
class Rival:
    """One way to do a work.

    prepare: takes the number of images and `arguments`, and returns a pass.
    environment: variables that are set before a backend is loaded.
    needs: a package without which this rival is left out.
    share: of the work that one pass does.
    goal: how many times as fast as this rival the pipeline should be.
    """

    prepare: Callable[..., Callable[[], object]]
    arguments: tuple[Any, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    needs: str | None = None
    share: float = 1
    goal: float | None = None


@dataclass(frozen=True)
class Work:
    """`images` go through in a pass; the rival called `PIPELINE` is compared with the others."""

    title: str
    images: int
    rivals: dict[str, Rival]


def prepare(rival: Rival, images: int) -> None:
    """In a process of its own: get ready, and make one pass."""
    global _rival, _images, _pass
    for name in CHOSEN_BY_RIVALS:
        os.environ.pop(name, None)
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", **rival.environment}
    _rival, _images = rival, images
    _pass = rival.prepare(images, *rival.arguments)
    _pass()


def pass_over(seconds: float) -> float:
    """How many images a second went through."""
    passes, started = 0, time.perf_counter()
    while not passes or time.perf_counter() - started < seconds:
        _pass()
        passes += 1
    return passes * _images * _rival.share / (time.perf_counter() - started)


def random_data(images: int, shape: tuple[int, ...]):
    """Inputs, float32 in 0-1 (images, *shape), and one-hot labels (images, 10)."""
    import numpy as np

    random = np.random.default_rng(0)
    labels = np.eye(10, dtype=np.float32)[random.integers(0, 10, images)]
    return random.random((images, *shape), np.float32), labels


def recipe_of(network: str, name: str):
    """The recipe of a training, with numbers in place of what `tune` finds."""
    from stages import params

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


def pipeline_training(
    images: int, network: str, name: str, precision: str | None = None
) -> Callable[..., object]:
    """One epoch, or more, as every training of the pipeline runs it, but for its callbacks."""
    import numpy as np

    from stages.networks import heads
    from stages.training import batches, fitting
    from stages.training.keras_setup import keras, seed_everything, use_deterministic_operations

    seed_everything(0)
    recipe = recipe_of(network, name)
    keras.config.set_dtype_policy(precision or recipe.precision or "float32")
    model, (x, y) = build(network, name), random_data(images, SHAPES[network, name])
    options = {"jit_compile": heads.uses_xla(recipe)} if network in HEADS else {}
    fitting.compile_classifier(model, recipe, len(x), **options)
    use_deterministic_operations()
    rows = batches.Batches([x], y, np.arange(len(x)), recipe.batch_size, seed=0)
    return lambda epochs=1: model.fit(rows, epochs=epochs, shuffle=False, verbose=0)


def keras_training(images: int, network: str, name: str) -> Callable[[], object]:
    """An epoch of the same network in float32, as Keras trains it unless told otherwise."""
    model, (x, y) = build(network, name), random_data(images, SHAPES[network, name])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    batch_size = recipe_of(network, name).batch_size
    return lambda: model.fit(x, y, batch_size=batch_size, verbose=0)


def torch_training(images: int, network: str, name: str) -> Callable[[], object]:
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


def features_recipe(network: str, name: str):
    """The recipe of the features of a head's recipe, and their layers."""
    from stages import params

    settings = params.load()
    recipe = settings.features[recipe_of(network, name).features]
    return recipe, recipe.layers or [settings.backbone[recipe.backbone].layer]


def pipeline_features(images: int, network: str, name: str) -> Callable[[], object]:
    """From raw images (n, 28, 28), which the pipeline resizes; its rival gets them resized."""
    import numpy as np

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


def frozen(network: str, name: str):
    """The frozen network as Keras has it, and the shape of an image for it."""
    import keras

    from stages.networks import backbone

    recipe, layers = features_recipe(network, name)
    keras.config.set_dtype_policy(recipe.precision or "float32")
    model = backbone.build(recipe.backbone, layers, recipe.input_size)
    model = keras.Model(model.input, backbone.pooled(recipe, model.outputs))
    model.trainable = False
    return model, (recipe.input_size, recipe.input_size, 3)


def keras_features(images: int, network: str, name: str) -> Callable[[], object]:
    model, shape = frozen(network, name)
    x, _ = random_data(images, shape)
    return lambda: model.predict(x, batch_size=100, verbose=0)


def pipeline_transfer(images: int, network: str) -> Callable[[], object]:
    """The features once, and 30 epochs of the head on features of their shape."""
    compute = pipeline_features(images, network, "study")
    train = pipeline_training(images, network, "study")
    return lambda: (compute(), train(EPOCHS))


def keras_transfer(images: int, network: str) -> Callable[[], object]:
    """One epoch through the frozen network and the head."""
    import keras

    model, shape = frozen(network, "study")
    whole = keras.Sequential([model, build(network, "study")])
    whole.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    x, y = random_data(images, shape)
    return lambda: whole.fit(x, y, batch_size=64, verbose=0)


def training(title: str, chosen: tuple[str, str], images: int, goal: float) -> Work:
    rivals = {
        PIPELINE: Rival(pipeline_training, chosen),
        "Keras's defaults": Rival(keras_training, chosen, goal=goal),
    }
    if chosen == ("lenet", "improved"):
        rivals["itself in float32"] = Rival(pipeline_training, (*chosen, "float32"), goal=1.3)
    else:
        rivals["PyTorch by hand"] = Rival(torch_training, chosen, needs="torch")
    if chosen == ("lenet", "study"):
        for name, backend in (("JAX", "jax"), ("PyTorch", "torch")):
            environment = {"KERAS_BACKEND": backend}
            rivals[f"itself on {name}"] = Rival(pipeline_training, chosen, environment, backend)
    return Work(f"{title} trained, `{chosen[1]}`", images, rivals)


def features(chosen: tuple[str, str], images: int) -> Work:
    rivals = {
        PIPELINE: Rival(pipeline_features, chosen),
        "`model.predict`": Rival(keras_features, chosen, goal=1.5),
    }
    return Work(f"{HEADS[chosen[0]].title}'s features, `{chosen[1]}`", images, rivals)


def transfer(network: str, images: int) -> Work:
    rivals = {
        PIPELINE: Rival(pipeline_transfer, (network,)),
        "backbone in each epoch": Rival(keras_transfer, (network,), share=1 / EPOCHS, goal=10),
    }
    title = f"{HEADS[network].title}, `study`: features, {EPOCHS} epochs of the head"
    return Work(title, images, rivals)


WORKS = {
    "lenet-study": training("LeNet-5", ("lenet", "study"), 64 * 200, 1),
    "lenet-improved": training("LeNet-5", ("lenet", "improved"), 128 * 60, 1),
    "resnet-study": training("ResNet50's head", ("resnet", "study"), 64 * 600, 2),
    "resnet-improved": training("ResNet50's head", ("resnet", "improved"), 128 * 100, 2),
    "vgg-study": training("VGG16's head", ("vgg", "study"), 64 * 40, 2),
    "vgg-improved": training("VGG16's head", ("vgg", "improved"), 128 * 40, 2),
    "resnet-features-study": features(("resnet", "study"), 600),
    "resnet-features-improved": features(("resnet", "improved"), 200),
    "vgg-features-study": features(("vgg", "study"), 600),
    "vgg-features-improved": features(("vgg", "improved"), 200),
    "resnet-transfer": transfer("resnet", 6_000),
    "vgg-transfer": transfer("vgg", 600),
}
