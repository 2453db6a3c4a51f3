"""Train the head of a frozen backbone on its cached features.

Reads the training features that the recipe names, the labels of `data/encoded/train/`, and the
backbone's tensors in `models/pretrained/`, for the model that is saved. Writes for NETWORK (resnet
or vgg) and RECIPE `models/NETWORK/RECIPE/`: `model.keras`, and a folder for each training, `1/` and
so on; `stages/training/fitting.py` says what is in it.

The study trains one head and validates it on the last `validation_split` of the training images. A
recipe with `cross_validated` trains one for each fold, on LeNet-5's folds, each from a seed of its
own; the model then answers with the mean of all heads.
"""

import shutil
from pathlib import Path

from stages import params
from stages.base.files import atomic_folder, load_array, read_json
from stages.catalog import HEADS
from stages.cli import InputError, run
from stages.networks import backbone, heads, views
from stages.training import fitting, resume
from stages.training.batches import Batches, fold_rows, last_rows
from stages.training.keras_setup import keras, seed_everything
from stages.training.saving import save_model, without_optimizer

INPUT = Path("data/encoded/train")
OUTPUT = Path("models")


def main(network: str, recipe: str) -> None:
    if network not in HEADS:
        raise InputError(f"there is no head {network!r}; name one of {', '.join(HEADS)}")
    settings = params.load()
    chosen = params.recipe(getattr(settings, network), recipe, network)
    features = params.recipe(settings.features, chosen.features, "features")
    stage = f"{network}@{recipe}"
    folds = params.trainings(settings, network, recipe)

    arrays, y = views.load(chosen.features, "train"), load_array(INPUT / "labels.npy")
    classes = tuple(read_json(INPUT / "classes.json"))
    identity = {"recipe": chosen.model_dump(), "seed": settings.seed, "folds": folds}
    inputs = [*views.paths(chosen.features, "train"), INPUT / "labels.npy"]
    work = resume.folder(stage, identity, inputs)

    networks = []
    with atomic_folder(OUTPUT / network / recipe) as folder:
        for fold in folds:
            if chosen.cross_validated:
                training_rows, validation_rows = fold_rows(len(y), len(folds), fold, settings.seed)
            else:
                training_rows, validation_rows = last_rows(len(y), chosen.validation_split)
            statistics = (
                heads.mean_and_variance(arrays, training_rows) if chosen.standardise else None
            )
            seed = settings.seed + fold - 1
            keras.config.set_dtype_policy(chosen.precision or "float32")
            seed_everything(seed)
            head = heads.build_head(
                arrays[0].shape[1:], len(classes), chosen, f"head_{fold}", statistics
            )
            fitting.compile_classifier(
                head, chosen, len(training_rows), jit_compile=heads.uses_xla(chosen)
            )
            history = fitting.fit(
                head,
                Batches(arrays, y, training_rows, chosen.batch_size, seed),
                Batches(arrays, y, validation_rows),
                epochs=chosen.epochs,
                name=f"{stage}-{fold}",
                work=work / str(fold),
            )

            best = without_optimizer(head)
            best.load_weights(work / str(fold) / "best.weights.h5")
            networks.append(without_optimizer(head))
            (folder / str(fold)).mkdir()
            summary = fitting.save(
                folder / str(fold),
                network=networks[-1],
                best=best,
                history=history,
                recipe=chosen,
                classes=classes,
                training_rows=training_rows,
                validation_rows=validation_rows,
                probabilities=views.mean_prediction(networks[-1], arrays, validation_rows),
                labels=y[validation_rows],
            )
            print(f"{stage}: fold {fold} of {len(folds)}: {summary}", flush=True)

        layer = settings.backbone[features.backbone].layer
        pretrained = Path(f"models/pretrained/{features.backbone}.npz")
        extractor = backbone.feature_extractor(layer, features, pretrained)
        whole = heads.with_backbone(extractor, networks, features.mirrored)
        save_model(whole, folder / "model.keras")
    shutil.rmtree(work)


if __name__ == "__main__":
    run(main, network=str, recipe=str)
