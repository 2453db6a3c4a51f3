"""Every training of a run, and the classifiers that are made of them."""

import numpy as np

from stages.common import results
from stages.common.evaluation import Results
from stages.params import Params

TITLES = {"lenet": "LeNet-5", "resnet": "ResNet50, frozen", "vgg": "VGG16, frozen"}

Trained = dict[tuple[str, str], list[Results]]


def load_all(settings: Params) -> Trained:
    """Every training's results by model and recipe; LeNet-5 has one a fold, the others just one."""
    trained = {
        ("lenet", recipe): [results.load(f"lenet/{recipe}-{fold}") for fold in settings.cv.folds]
        for recipe in settings.lenet
    }
    for model in ("resnet", "vgg"):
        for recipe in getattr(settings, model):
            trained[model, recipe] = [results.load(f"{model}/{recipe}")]
    return trained


def ensemble(folds: list[Results]) -> np.ndarray:
    """The mean of the folds' probabilities, float64 (n_test, 10)."""
    return np.mean([fold.probabilities.astype(np.float64) for fold in folds], axis=0)


def best_fold(folds: list[Results]) -> int:
    """The position of the fold whose model did best on its own validation images."""
    return int(np.argmax([fold.metrics["val_accuracy"] for fold in folds]))


def best_lenet(trained: Trained) -> tuple[str, int]:
    """Recipe and fold, from 1, of the LeNet-5 that did best on its own validation images."""
    folds = {
        (recipe, number): training.metrics["val_accuracy"]
        for (model, recipe), trainings in trained.items()
        if model == "lenet"
        for number, training in enumerate(trainings, start=1)
    }
    return max(folds, key=folds.get)


def predictions(trained: Trained) -> dict[str, np.ndarray]:
    """Predicted labels (n_test,) by classifier: the best fold and the ensemble for LeNet-5."""
    predicted = {}
    for (model, recipe), trainings in trained.items():
        if model == "lenet":
            predicted[f"lenet-{recipe}"] = trainings[best_fold(trainings)].probabilities
            predicted[f"lenet-{recipe}-ensemble"] = ensemble(trainings)
        else:
            predicted[f"{model}-{recipe}"] = trainings[0].probabilities
    return {name: probabilities.argmax(axis=1) for name, probabilities in predicted.items()}


def titles(trained: Trained) -> dict[str, str]:
    """What to call each of `predictions`."""
    found = {}
    for (model, recipe), trainings in trained.items():
        title = f"{TITLES[model]} ({recipe})"
        if model == "lenet":
            found[f"lenet-{recipe}"] = f"{title}, fold {best_fold(trainings) + 1}"
            found[f"lenet-{recipe}-ensemble"] = f"{title}, ensemble"
        else:
            found[f"{model}-{recipe}"] = title
    return found
