"""What the speed claims rest on: `python -m benchmarks.speed [NAME ...] [--rounds N]`.

Each rival does the same work in a process of its own; the rivals take turns, so that a machine
whose speed drifts is fair to all; a first pass is not counted; what is printed is images a second,
the median of the rounds, and the median of the rounds' ratios to the pipeline. Random images of the
real shapes: speed does not depend on what is in them.

ONEDNN_MAX_CPU_ISA=AVX2 in the environment makes a processor with AVX-512 do without it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PIPELINE = "pipeline"
# TensorFlow's own choice for oneDNN depends on the processor, so both are named.
RIVALS = {
    PIPELINE: {},
    "Keras's defaults, oneDNN on": {"TF_ENABLE_ONEDNN_OPTS": "1"},
    "Keras's defaults, oneDNN off": {"TF_ENABLE_ONEDNN_OPTS": "0"},
}


def lenet(pipeline: bool) -> tuple[int, Callable[[], None]]:
    """Training LeNet-5 with 248 units at batch 64."""
    from stages import params
    from stages.common import lenet, training
    from stages.common.keras_setup import keras, use_deterministic_operations

    x, y = arrays(64 * 100, (28, 28, 1))
    model = lenet.build(248)
    if not pipeline:
        model.compile(keras.optimizers.Adam(), "categorical_crossentropy", metrics=["accuracy"])
        return len(x), lambda: model.fit(x, y, batch_size=64, verbose=0)
    recipe = params.load().lenet["study"].model_copy(update={"learning_rate": 0.001})
    training.compile_classifier(model, recipe, len(x))
    use_deterministic_operations()
    return len(x), pipelines_epoch(model, x, y)


def vgg_head(pipeline: bool) -> tuple[int, Callable[[], None]]:
    """Training VGG16's head of two layers of 4096 on cached features at batch 64."""
    from stages import params
    from stages.common import training, transfer
    from stages.common.keras_setup import keras, use_deterministic_operations

    x, y = arrays(64 * 40, (1, 1, 512))
    recipe = params.load().vgg["study"]
    model = transfer.build_head(x.shape[1:], recipe, "vgg")
    if not pipeline:
        model.compile(keras.optimizers.Adam(), "categorical_crossentropy", metrics=["accuracy"])
        return len(x), lambda: model.fit(x, y, batch_size=64, verbose=0)
    training.compile_classifier(model, recipe, len(x), transfer.fuses(recipe))
    use_deterministic_operations()
    return len(x), pipelines_epoch(model, x, y)


def vgg_features(pipeline: bool) -> tuple[int, Callable[[], None]]:
    """VGG16's features of images of 28x28, resized to 48x48; the rivals get them resized."""
    import numpy as np

    from stages import features
    from stages.common import backbone
    from stages.common.keras_setup import keras, use_deterministic_operations
    from stages.params import FeaturesRecipe

    if not pipeline:
        x, _ = arrays(1000, (48, 48, 3))
        network = keras.applications.VGG16(weights=None, include_top=False, input_shape=(48, 48, 3))
        return len(x), lambda: network.predict(x, verbose=0)
    use_deterministic_operations()
    network = backbone.build("vgg16", ["block5_pool"], 48)
    with tempfile.TemporaryDirectory() as folder:
        tensors = Path(folder) / "vgg16.npz"
        np.savez(tensors, **{k: v.numpy() for k, v in backbone.variables(network).items()})
        recipe = FeaturesRecipe(
            backbone="vgg16", input_size=48, preprocessing="unit", pooling="none"
        )
        extractor = backbone.feature_extractor("block5_pool", recipe, tensors)
    x = np.random.default_rng(0).integers(0, 256, (1000, 28, 28), np.uint8)
    return len(x), lambda: extractor.predict(x, batch_size=features.BATCH, verbose=0)


def pipelines_epoch(model, x, y) -> Callable[[], None]:
    """An epoch as `training.fit` runs it, from `Batches`, but for its callbacks."""
    import numpy as np

    from stages.common.training import Batches

    batches = Batches([x], y, np.arange(len(x)), 64, seed=0)
    return lambda: model.fit(batches, shuffle=False, verbose=0)


def arrays(rows: int, shape: tuple[int, ...]):
    import numpy as np

    random = np.random.default_rng(0)
    labels = np.eye(10, dtype=np.float32)[random.integers(0, 10, rows)]
    return random.random((rows, *shape), np.float32), labels


WORK = {"lenet": lenet, "vgg_head": vgg_head, "vgg_features": vgg_features}


def child(name: str, rival: str) -> None:
    from stages.common.keras_setup import seed_everything

    seed_everything(0)
    rows, work = WORK[name](rival == PIPELINE)
    work()
    started = time.perf_counter()
    work()
    print(json.dumps(rows / (time.perf_counter() - started)))


def measure(name: str, rival: str) -> float:
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    command = [sys.executable, "-m", "benchmarks.speed", "--child", name, rival]
    run = subprocess.run(
        command, env=environment | RIVALS[rival], check=True, capture_output=True, text=True
    )
    return float(run.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(WORK)}; all if none is given")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    if unknown := set(arguments.names) - set(WORK):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(WORK)}")
    for name in arguments.names or WORK:
        print(f"\n{WORK[name].__doc__} Images a second, {arguments.rounds} rounds:")
        rounds = [
            {rival: measure(name, rival) for rival in RIVALS} for _ in range(arguments.rounds)
        ]
        for rival in RIVALS:
            rates = [rates[rival] for rates in rounds]
            ratios = [rates[PIPELINE] / rates[rival] for rates in rounds]
            print(
                f"  {rival:30}{statistics.median(rates):8,.0f}   ({min(rates):,.0f} to "
                f"{max(rates):,.0f});  pipeline is {statistics.median(ratios):.2f} times as fast",
                flush=True,
            )


if __name__ == "__main__":
    main()
