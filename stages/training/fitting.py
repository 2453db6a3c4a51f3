"""Train a Keras classifier: the same inputs give the same bytes, interrupted or not.

What every training writes:

- `best.weights.h5`: the trained weights of the epoch with the lowest validation loss;
- `history.csv`: a row an epoch, from 1; columns epoch, accuracy, val_accuracy, loss, val_loss;
- `validation.npz`: the probabilities of the network after the last epoch for its validation images,
  float32 (n, classes), their labels, uint8 (n,), and their rows in the training set, uint32 (n,);
- `training.json`: the hyperparameters as they were used, the names of the classes, the number of
  parameters and of images, and the best epoch.

The network itself, after the last epoch, is `model.keras` in the folder of the stage. It takes raw
images (n, 28, 28), 0-255.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from stages.base.files import atomic_file, write_json
from stages.cli import InputError
from stages.params import TrainingRecipe
from stages.training.batches import Batches, BeginEpoch
from stages.training.keras_setup import keras, use_deterministic_operations

CURVES = ["accuracy", "val_accuracy", "loss", "val_loss"]
BOARD = Path(".work/tensorboard")
STEPS_AT_A_TIME = 32


class StopIfDiverged(keras.callbacks.Callback):
    """Ends a training whose loss is not a number, at the step where that happens.

    Raises:
        InputError: the loss is infinite or NaN.
    """

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        self.check(logs["loss"], "loss")

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.check(logs["val_loss"], "validation loss")

    def check(self, value: float, name: str) -> None:
        if not np.isfinite(value):
            raise InputError(
                f"the training diverged: its {name} is {value}; lower learning_rate, or use "
                "another precision, in params.yaml"
            )


class KeepEpoch(keras.callbacks.Callback):
    """Moves away what `BackupAndRestore` has just written, so that its next writing spares it.

    A process that is killed while it writes an epoch leaves the epoch before it whole.
    """

    def __init__(self, folder: Path):
        super().__init__()
        self.folder = folder

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        earlier = kept_epochs(self.folder)
        (self.folder / "backup").rename(self.folder / f"epoch-{epoch + 1:05}")
        for path in earlier:
            shutil.rmtree(path)


def kept_epochs(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*"))


def steps_at_a_time() -> int:
    """Training steps that the backend takes without Python in between; the bytes are the same.

    JAX gains nothing from more than one, and PyTorch allows no more.
    """
    return STEPS_AT_A_TIME if keras.config.backend() == "tensorflow" else 1


def compile_classifier(
    model: keras.Model, recipe: TrainingRecipe, images: int, jit_compile: str | bool = "auto"
) -> None:
    """Compile `model` by `recipe`; without its optional keys as in the study: plain Adam.

    Args:
        recipe: with a number for `learning_rate`. `weight_decay` is decoupled from the gradient
            (Loshchilov and Hutter 2019); `schedule: cosine` raises the rate over `warmup_epochs`
            and then lowers it to 0 (Loshchilov and Hutter 2017); `ema_momentum` replaces the
            weights at the end by their exponential moving average (Polyak and Juditsky 1992).
        images: training images, which make an epoch.
        jit_compile: as in Keras.
    """
    rate = recipe.learning_rate
    if recipe.schedule == "cosine":
        steps = -(-images // recipe.batch_size)
        warmup = steps * (recipe.warmup_epochs or 0)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else rate,
            decay_steps=steps * recipe.epochs - warmup,
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
        )
    model.compile(
        optimizer=keras.optimizers.Adam(
            rate,
            weight_decay=recipe.weight_decay,
            use_ema=recipe.ema_momentum is not None,
            ema_momentum=recipe.ema_momentum or 0.99,
        ),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing or 0.0),
        metrics=["accuracy"],
        jit_compile=jit_compile,
        steps_per_execution=steps_at_a_time(),
    )


def fit(
    model: keras.Model,
    training: Batches,
    validation: Batches,
    *,
    epochs: int,
    name: str,
    work: Path,
) -> pd.DataFrame:
    """Fit a compiled `model`, or go on where an earlier call with this `work` was interrupted.

    The model ends with the last epoch's weights, as in the study, and `work` with
    `best.weights.h5`. TensorBoard's curves are in `.work/tensorboard/NAME`.

    Args:
        work: an ignored folder, which belongs to this training alone.

    Returns:
        One row an epoch; columns epoch (from 1), accuracy, val_accuracy, loss, val_loss.

    Raises:
        InputError: the training diverged. `work` is deleted, so that the next run starts afresh.
    """
    use_deterministic_operations()
    work.mkdir(parents=True, exist_ok=True)
    curves, log, backup = BOARD / name, work / "log.csv", work / "backup"
    shutil.rmtree(backup, ignore_errors=True)
    best = None
    if kept := kept_epochs(work):
        done = int(kept[-1].name.removeprefix("epoch-"))
        shutil.copytree(kept[-1], backup)
        # An interrupted epoch may have its row already, but not its backup.
        history = pd.read_csv(log, float_precision="round_trip").head(done)
        with atomic_file(log) as unfinished:
            history.to_csv(unfinished, index=False)
        best = history["val_loss"].min()
        print(f"{name}: going on after epoch {done} of {epochs}", flush=True)
    else:
        log.unlink(missing_ok=True)
        shutil.rmtree(curves, ignore_errors=True)
    print(
        f"{name}: {len(training.rows):,} training and {len(validation.rows):,} validation images",
        flush=True,
    )
    try:
        model.fit(
            training,
            validation_data=validation,
            epochs=epochs,
            shuffle=False,  # `Batches` shuffles
            verbose=1 if sys.stdout.isatty() else 2,
            callbacks=[
                StopIfDiverged(),
                BeginEpoch(training),
                keras.callbacks.ModelCheckpoint(
                    work / "best.weights.h5",
                    save_best_only=True,
                    save_weights_only=True,
                    initial_value_threshold=best,
                ),
                keras.callbacks.CSVLogger(log, append=True),
                keras.callbacks.TensorBoard(curves, write_graph=False),
                keras.callbacks.BackupAndRestore(backup, delete_checkpoint=False),
                KeepEpoch(work),
            ],
        )
    except InputError:
        shutil.rmtree(work)
        raise
    history = pd.read_csv(log, float_precision="round_trip")
    return pd.DataFrame({"epoch": range(1, epochs + 1), **history[CURVES]})


def save(
    folder: Path,
    *,
    network: keras.Sequential,
    best: keras.Sequential,
    history: pd.DataFrame,
    recipe: TrainingRecipe,
    classes: tuple[str, ...],
    training_rows: np.ndarray,
    validation_rows: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray,
) -> str:
    """Write into `folder` the files of one training, but for its model; return a summary.

    Args:
        network, best: the network after the last epoch, and with the best epoch's weights, without
            the layers that only training needs.
        recipe: as it was used.
        training_rows, validation_rows: indices of the images in the training set.
        probabilities, labels: of the validation images; (n, classes), and one-hot (n, classes).
    """
    best.save_weights(folder / "best.weights.h5")
    history.to_csv(folder / "history.csv", index=False)
    actual = labels.argmax(axis=1).astype(np.uint8)
    np.savez(
        folder / "validation.npz",
        probabilities=probabilities,
        labels=actual,
        rows=validation_rows.astype(np.uint32),
    )
    best_epoch = int(history.loc[history["val_loss"].idxmin(), "epoch"])
    content: dict[str, Any] = {
        **recipe.model_dump(exclude_none=True),
        "classes": list(classes),
        "parameters": network.count_params(),
        "training_images": len(training_rows),
        "validation_images": len(validation_rows),
        "best_epoch": best_epoch,
    }
    write_json(folder / "training.json", content)
    accuracy = (probabilities.argmax(axis=1) == actual).mean()
    return (
        f"validation accuracy {accuracy:.2%}; lowest validation loss in epoch {best_epoch} "
        f"of {len(history)}"
    )
