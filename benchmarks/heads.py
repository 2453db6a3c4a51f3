"""Training the study's heads on cached features, at batch 64.

VGG16's has 19 million weights, of which Adam reads four numbers each and writes three in every
step. That comes on top of the step's matrix products, which pass over the weights three times.
"""

import math
from itertools import pairwise

from benchmarks.limits import layers_products, memory
from benchmarks.rounds import ONEDNN_OFF, ONEDNN_ON, PIPELINE, Pass, Rival, Work

BATCH = 64
# The params section, the shape of an image's features, how many images a pass has, and how many
# weights the head has.
HEADS = {
    "resnet": ((1024,), BATCH * 600, 1024 * 128 + 128 * 10),
    "vgg": ((1, 1, 512), BATCH * 40, 512 * 4096 + 4096 * 4096 + 4096 * 10),
}


def features_and_labels(name: str):
    import numpy as np

    shape, images, _ = HEADS[name]
    random = np.random.default_rng(0)
    labels = np.eye(10, dtype=np.float32)[random.integers(0, 10, images)]
    return random.random((images, *shape), np.float32), labels


def pipeline(name: str, trains: bool = True) -> Pass:
    """An epoch as `fitting.fit` runs it, but for its callbacks.

    Args:
        trains: and not only evaluates, as after an epoch.
    """
    import numpy as np

    from stages import params
    from stages.networks import heads
    from stages.training import fitting
    from stages.training.keras_setup import seed_everything, use_deterministic_operations

    seed_everything(0)
    x, y = features_and_labels(name)
    recipe = getattr(params.load(), name)["study"]
    model = heads.build_head(x.shape[1:], recipe, name)
    fitting.compile_classifier(model, recipe, len(x), heads.fuses(recipe))
    use_deterministic_operations()
    if not trains:
        rows = fitting.Batches([x], y, np.arange(len(x)), fitting.VALIDATION_BATCH)
        return len(x), lambda: model.evaluate(rows, verbose=0)
    rows = fitting.Batches([x], y, np.arange(len(x)), BATCH, seed=0)
    return len(x), lambda: model.fit(rows, shuffle=False, verbose=0)


def widths(name: str) -> list[int]:
    return [128] if name == "resnet" else [4096, 4096]


def keras_defaults(name: str) -> Pass:
    import keras

    layers = keras.layers
    x, y = features_and_labels(name)
    hidden = [layers.Dense(width, activation="relu") for width in widths(name)]
    model = keras.Sequential(
        [keras.Input(x.shape[1:]), layers.Flatten(), *hidden, layers.Dense(10, "softmax")]
    )
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return len(x), lambda: model.fit(x, y, batch_size=BATCH, verbose=0)


def torch_loop(name: str) -> Pass:
    """By hand, Adam fused."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    x, y = (torch.from_numpy(array) for array in features_and_labels(name))
    x, y = x.flatten(1), y.argmax(dim=1)
    sizes = [x.shape[1], *widths(name)]
    hidden = [nn.Sequential(nn.Linear(*pair), nn.ReLU()) for pair in pairwise(sizes)]
    model = nn.Sequential(*hidden, nn.Linear(sizes[-1], 10))
    optimizer = torch.optim.Adam(model.parameters(), fused=True)

    def epoch() -> float:
        right = torch.zeros((), dtype=torch.int64)
        for rows in torch.randperm(len(x)).split(BATCH):
            scores = model(x[rows])
            loss = nn.functional.cross_entropy(scores, y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            right += (scores.argmax(dim=1) == y[rows]).sum()
        return int(right) / len(x)

    return len(x), epoch


PRODUCTS = "its matrix products alone"
COPIES = "copying in memory what Adam moves"


def times_the_limit(rates: dict[str, float]) -> dict[str, float]:
    """How near the pipeline comes to the products and, after them, the copies."""
    at_most = 1 / (1 / rates[PRODUCTS] + 1 / rates[COPIES])
    return {"images a second, products and copies": at_most, "of that": rates[PIPELINE] / at_most}


def work(name: str, title: str) -> Work:
    shape, _, weights = HEADS[name]
    sizes = [math.prod(shape), *widths(name), 10]
    rivals = {
        PIPELINE: Rival(pipeline, (name,)),
        "Keras's defaults, oneDNN on": Rival(keras_defaults, (name,), ONEDNN_ON),
        "Keras's defaults, oneDNN off": Rival(keras_defaults, (name,), ONEDNN_OFF),
        "PyTorch by hand": Rival(torch_loop, (name,), needs="torch"),
    }
    if weights < 2**24:  # a cache holds them
        return Work(title, rivals)
    rivals[PRODUCTS] = Rival(layers_products, (list(pairwise(sizes)), BATCH), needs="torch")
    rivals[COPIES] = Rival(memory, (7 * 4 * weights / BATCH,))
    return Work(title, rivals, times_the_limit, limits=(PRODUCTS, COPIES))


WORKS = {
    "resnet-head": work("resnet", "Training ResNet50's head, batch 64"),
    "vgg-head": work("vgg", "Training VGG16's head, batch 64"),
}
