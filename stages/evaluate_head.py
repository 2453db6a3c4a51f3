"""Evaluate a head on frozen features on the test set.

Reads `models/HEAD/RECIPE/`, the test features that the recipe names and the labels of
`data/encoded/test/`. Writes for HEAD (resnet or vgg) and RECIPE `metrics/HEAD/RECIPE/`;
`stages/results/evaluation.py` says what is in it.
"""

from pathlib import Path

import numpy as np

from stages import params
from stages.base.files import load_array
from stages.cli import run
from stages.networks import views
from stages.results import evaluation
from stages.results.evaluation import Predictions
from stages.training.keras_setup import use_deterministic_operations
from stages.training.saving import load_model

LABELS = Path("data/encoded/test/labels.npy")


def main(head: str, recipe: str) -> None:
    settings = params.load()
    chosen = params.recipe(getattr(settings, head), recipe, head)
    trained = Path("models") / head / recipe
    use_deterministic_operations()
    network = load_model(trained / "model.keras").get_layer(head)
    arrays = views.load(chosen.features, "test")
    y = load_array(LABELS)

    def with_weights(path: Path) -> np.ndarray:
        network.load_weights(path)
        return views.mean_prediction(network, arrays)

    test = Predictions(views.mean_prediction(network, arrays), y.argmax(axis=1).astype(np.uint8))
    summary = evaluation.evaluate(trained, Path("metrics") / head / recipe, test, with_weights)
    print(f"evaluate_{head}@{recipe}: {summary}")


if __name__ == "__main__":
    run(main, head=str, recipe=str)
