"""Train LeNet-5 on one fold of the training set, from scratch.

Reads `data/encoded/train/` and, for `tuned` values, `metrics/hyperparameters.yaml`. Writes for
RECIPE and FOLD `models/lenet/RECIPE-FOLD/`: `model.keras`, and what `stages/training/fitting.py`
says. With `seed_by_fold` each fold has its own initial weights, shuffling, dropout and
augmentation, as in deep ensembles (Lakshminarayanan et al. 2017, Simple and Scalable Predictive
Uncertainty Estimation using Deep Ensembles).
"""

import shutil
from pathlib import Path

from stages import params
from stages.base.files import atomic_folder, load_array, read_json, read_yaml
from stages.cli import InputError, run
from stages.networks import lenet
from stages.networks.raw_lenet import on_encoded_images, on_raw_images, without_augmentation
from stages.params import LenetRecipe
from stages.training import fitting, resume
from stages.training.batches import Batches, fold_rows, predict
from stages.training.keras_setup import keras, seed_everything
from stages.training.saving import save_model, without_optimizer

INPUT = Path("data/encoded/train")
HYPERPARAMETERS = Path("metrics/hyperparameters.yaml")
OUTPUT = Path("models/lenet")


def resolved(recipe: LenetRecipe, tuned: dict[str, float]) -> LenetRecipe:
    """`recipe` with the tuner's values in place of `tuned`."""
    names = [name for name in ("units", "learning_rate") if getattr(recipe, name) == "tuned"]
    return recipe.model_copy(update={name: tuned[name] for name in names})


def main(recipe: str, fold: int) -> None:
    settings = params.load()
    chosen = params.recipe(settings.lenet, recipe, "lenet")
    folds = len(settings.cv.folds)
    if fold not in settings.cv.folds:
        raise InputError(f"there is no fold {fold}; params.yaml has cv.folds {settings.cv.folds}")
    chosen = resolved(chosen, read_yaml(HYPERPARAMETERS))
    paths = INPUT / "images.npy", INPUT / "labels.npy"
    x, y = map(load_array, paths)
    classes = tuple(read_json(INPUT / "classes.json"))
    training_rows, validation_rows = fold_rows(len(x), folds, fold, settings.seed)
    seed = settings.seed + (fold - 1 if chosen.seed_by_fold else 0)

    name = f"cv_lenet@{recipe}-{fold}"
    identity = {**chosen.model_dump(), "seed": seed, "fold": fold, "folds": folds}
    work = resume.folder(name, identity, list(paths))
    keras.config.set_dtype_policy(chosen.precision or "float32")
    seed_everything(seed)
    model = lenet.build(
        chosen.units,
        len(classes),
        batch_normalization=chosen.batch_normalization,
        dropout=chosen.dropout,
        flip=chosen.flip,
        shift=chosen.shift,
        erasing=chosen.erasing,
    )
    fitting.compile_classifier(model, chosen, len(training_rows))
    history = fitting.fit(
        model,
        Batches([x], y, training_rows, chosen.batch_size, seed),
        Batches([x], y, validation_rows),
        epochs=chosen.epochs,
        name=name,
        work=work,
    )

    best = without_optimizer(model)
    best.load_weights(work / "best.weights.h5")
    network = without_augmentation(model)
    whole = on_raw_images(network, chosen.average_mirrored, chosen.average_shifted)
    with atomic_folder(OUTPUT / f"{recipe}-{fold}") as folder:
        save_model(whole, folder / "model.keras")
        summary = fitting.save(
            folder,
            network=network,
            best=without_augmentation(best),
            history=history,
            recipe=chosen,
            classes=classes,
            training_rows=training_rows,
            validation_rows=validation_rows,
            probabilities=predict(on_encoded_images(whole), x, validation_rows),
            labels=y[validation_rows],
        )
    shutil.rmtree(work)
    print(f"{name}: {summary}")


if __name__ == "__main__":
    run(main, recipe=str, fold=int)
