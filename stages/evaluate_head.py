"""Evaluate the heads of a recipe, one a training, on the test set.

Reads `models/HEAD/RECIPE/`, the test features that the recipe names and the labels of
`data/encoded/test/`. Writes for HEAD (resnet, say) and RECIPE `metrics/HEAD/RECIPE/`, with a folder
for each training; `stages/results/evaluation.py` says what is in it.
"""

from pathlib import Path

import numpy as np

from stages import params
from stages.base.files import atomic_folder, load_array
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
    model = load_model(trained / "model.keras")
    arrays = views.load(chosen.features, "test")
    labels = load_array(LABELS).argmax(axis=1).astype(np.uint8)

    folds = params.trainings(settings, head, recipe)
    with atomic_folder(Path("metrics") / head / recipe) as folder:
        for fold in folds:
            network = model.get_layer(f"head_{fold}")
            last = Predictions(views.mean_prediction(network, arrays), labels)
            network.load_weights(trained / str(fold) / "best.weights.h5")
            best = Predictions(views.mean_prediction(network, arrays), labels)
            summary = evaluation.evaluate(trained / str(fold), folder / str(fold), last, best)
            print(f"evaluate_{head}@{recipe}: fold {fold} of {len(folds)}: {summary}")


if __name__ == "__main__":
    run(main, head=str, recipe=str)
