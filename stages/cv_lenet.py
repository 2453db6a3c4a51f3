"""Train LeNet-5 on one fold of the training set, from scratch, and evaluate it on the test set.

Reads `data/encoded/` and, for what a recipe calls `tuned`, `models/lenet/hyperparameters.yaml`.
Writes for RECIPE and FOLD `models/lenet/folds/RECIPE-FOLD.keras`, which takes raw images,
and `metrics/lenet/RECIPE-FOLD` .json (numbers), .csv (curves) and .npz (test-set probabilities).
"""

from pathlib import Path

import numpy as np
from sklearn.model_selection import KFold

from stages.common import lenet, params
from stages.common.command import InputError, run
from stages.common.files import load_array, read_yaml
from stages.common.keras_setup import seed_everything
from stages.common.models import save_model
from stages.common.training import train_and_evaluate

INPUT = Path("data/encoded")
HYPERPARAMETERS = "models/lenet/hyperparameters.yaml"


def split(rows: int, folds: int, fold: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the validation images of one fold, which counts from 1."""
    splits = KFold(folds, shuffle=True, random_state=seed).split(np.empty(rows))
    return list(splits)[fold - 1]


def main(recipe: str, fold: int) -> None:
    settings = params.load()
    recipe_params = params.recipe(settings.lenet, recipe, "lenet")
    folds = len(settings.cv.folds)
    if fold not in settings.cv.folds:
        raise InputError(f"there is no fold {fold}; params.yaml has cv.folds {settings.cv.folds}")
    tuned = read_yaml(HYPERPARAMETERS)
    units, learning_rate = (
        tuned[name] if (value := getattr(recipe_params, name)) == "tuned" else value
        for name in ("units", "learning_rate")
    )
    x, y, x_test, y_test = (
        load_array(INPUT / f"{name}.npy") for name in ("x_train", "y_train", "x_test", "y_test")
    )
    if folds > len(x):
        raise InputError(f"cv.folds has {folds} folds for {len(x)} training images; take fewer")
    train, validation = split(len(x), folds, fold, settings.seed)

    seed_everything(settings.seed)
    model = lenet.build(units, learning_rate)
    results = train_and_evaluate(
        model,
        (x[train], y[train]),
        (x[validation], y[validation]),
        (x_test, y_test),
        epochs=recipe_params.epochs,
        batch_size=recipe_params.batch_size,
    )
    name = f"{recipe}-{fold}"
    save_model(lenet.with_raw_images(model), f"models/lenet/folds/{name}.keras")
    results.save(f"lenet/{name}")
    print(f"cv_lenet@{name}: {results.summary()}")


if __name__ == "__main__":
    run(main, recipe=str, fold=int)
