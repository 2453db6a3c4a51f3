"""Evaluate LeNet-5 of one fold on the test set.

Reads `models/lenet/RECIPE-FOLD/` and `data/encoded/test/`. Writes for RECIPE and FOLD
`metrics/lenet/RECIPE/FOLD/`; `stages/results/evaluation.py` says what is in it.
"""

from pathlib import Path

import numpy as np

from stages.base.files import atomic_folder, load_array
from stages.cli import run
from stages.networks.raw_lenet import on_encoded_images
from stages.results import evaluation
from stages.results.evaluation import Predictions
from stages.training.batches import predict
from stages.training.keras_setup import use_deterministic_operations
from stages.training.saving import load_model

INPUT = Path("data/encoded/test")
OUTPUT = Path("metrics/lenet")


def main(recipe: str, fold: int) -> None:
    trained = Path("models/lenet") / f"{recipe}-{fold}"
    use_deterministic_operations()
    model = load_model(trained / "model.keras")
    on_encoded = on_encoded_images(model)
    x = load_array(INPUT / "images.npy")
    labels = load_array(INPUT / "labels.npy").argmax(axis=1).astype(np.uint8)

    last = Predictions(predict(on_encoded, x), labels)
    model.get_layer("lenet").load_weights(trained / "best.weights.h5")
    best = Predictions(predict(on_encoded, x), labels)
    with atomic_folder(OUTPUT / recipe / str(fold)) as folder:
        summary = evaluation.evaluate(trained, folder, last, best)
    print(f"evaluate_lenet@{recipe}-{fold}: {summary}")


if __name__ == "__main__":
    run(main, recipe=str, fold=int)
