"""Train a Keras classifier: the same inputs give the same bytes, interrupted or not.

Every training writes one folder:

- `model.keras`: the network after the last epoch; takes raw images (n, 28, 28), 0-255;
- `best.weights.h5`: the weights of what was trained in the epoch of the lowest validation loss;
- `history.csv`: a row an epoch, from 1; columns epoch, accuracy, val_accuracy, loss, val_loss;
- `validation.npz`: the final network's probabilities for its validation images, float32 (n, 10),
  their labels, uint8 (n,), and which of the training images they are, uint32 (n,);
- `training.json`: the hyperparameters as they were used, the number of parameters and images, and
  the best epoch.
"""

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from stages.base.files import atomic_file, write_json
from stages.params import TrainingRecipe
from stages.training import board
from stages.training.keras_setup import keras, use_deterministic_operations

CURVES = ["accuracy", "val_accuracy", "loss", "val_loss"]
SHOWN = ["loss", "accuracy", "val_loss", "val_accuracy"]
VALIDATION_BATCH = 256
MOST_STEPS = 2**20  # in an epoch
STEPS_AT_A_TIME = 32


class Batches(keras.utils.PyDataset):
    """Batches of rows of memory-mapped arrays.

    Their order depends on the seed and the number of the epoch alone, not on the epochs before it:
    so a training that goes on in epoch 20 sees what it would have seen undisturbed.

    Args:
        views: arrays of the same length; from which of them a row is taken is drawn anew in each
            epoch (an image's features, and those of its mirror image, say).
        labels: one-hot (n, 10).
        rows: indices of the rows to take.
        batch_size: rows in a batch; the last one may be smaller.
        seed: shuffle by it; None for the order of `rows` and the first view.
    """

    def __init__(
        self,
        views: Sequence[np.ndarray],
        labels: np.ndarray,
        rows: np.ndarray,
        batch_size: int,
        seed: int | None = None,
    ):
        # With one worker Keras lets tf.data tune itself. The thread that does so sleeps 10 ms, then
        # 20, 40 and so on, and an epoch that ends meanwhile may wait until it wakes: one of six
        # seconds until 10.2 have passed.
        super().__init__(workers=2)
        self.views, self.labels, self.batch_size, self.seed = views, labels, batch_size, seed
        self.rows = self.order = rows
        self.view = np.zeros(len(rows), int)
        self.begin_epoch(0)

    def begin_epoch(self, epoch: int) -> None:
        if self.seed is not None:
            random = np.random.default_rng([self.seed, epoch])
            self.order = random.permutation(self.rows)
            self.view = random.integers(len(self.views), size=len(self.rows))

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(number * self.batch_size, (number + 1) * self.batch_size)
        rows, view = self.order[part], self.view[part]
        x = np.empty((len(rows), *self.views[0].shape[1:]), np.float32)
        for position, source in enumerate(self.views):
            chosen = view == position
            x[chosen] = source[rows[chosen]]
        return x, self.labels[rows]


class BeginEpoch(keras.callbacks.Callback):
    """Makes all that an epoch draws depend on the seed and its number alone.

    `BackupAndRestore` brings weights and optimizer back, but not where the random numbers of
    dropout and augmentation stood.
    """

    def __init__(self, batches: Batches):
        super().__init__()
        self.batches = batches
        self.states: list[tuple[keras.Variable, int]] = []

    def on_train_begin(self, logs: dict | None = None) -> None:
        # A seed generator's state is its seed, and how often it was asked.
        self.states = [
            (variable, int(keras.ops.convert_to_numpy(variable)[0]))
            for variable in self.model.variables
            if variable.path.endswith("seed_generator_state")
        ]

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.batches.begin_epoch(epoch)
        for variable, seed in self.states:
            variable.assign([seed, epoch * MOST_STEPS])


class Progress(keras.callbacks.Callback):
    """A bar of 80 columns with the time left on a terminal, a line an epoch elsewhere.

    Both end in the validation accuracy, the number that one waits for.
    """

    def __init__(self, epochs: int):
        super().__init__()
        self.epochs = epochs
        self.bar = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        if sys.stderr.isatty():
            self.bar = tqdm(
                total=self.params["steps"],
                desc=f"epoch {epoch + 1}/{self.epochs}",
                ncols=80,
                mininterval=0.5,
                bar_format="{desc} {bar} {n_fmt}/{total_fmt} {remaining}{postfix}",
            )

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        if self.bar:
            # Not every batch is told of, and the last number may be past the end.
            self.bar.update(min(batch + 1, self.bar.total) - self.bar.n)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self.bar:
            self.bar.set_postfix_str(f"val_accuracy {logs['val_accuracy']:.4f}")
            self.bar.close()
        else:
            numbers = "  ".join(f"{name} {logs[name]:.4f}" for name in SHOWN)
            print(f"epoch {epoch + 1}/{self.epochs}  {numbers}", flush=True)


class KeepEpoch(keras.callbacks.Callback):
    """Puts what `BackupAndRestore` has just written out of the way of its next writing.

    A process that is killed while an epoch is being written leaves the one before it whole.
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


def compile_classifier(
    model: keras.Model, recipe: TrainingRecipe, images: int, jit_compile: str | bool = "auto"
) -> None:
    """Compile `model` as `recipe` says; without its optional keys as in the study: plain Adam.

    Args:
        recipe: with numbers only, nothing to be looked up any more. `weight_decay` is decoupled
            from the gradient (Loshchilov and Hutter 2019); `schedule: cosine` lets the rate rise
            over `warmup_epochs` and then fall to 0 (Loshchilov and Hutter 2017); `ema_momentum`
            replaces the weights at the end by their exponential moving average (Polyak and Juditsky
            1992).
        images: in an epoch.
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
        # TensorFlow goes from step to step without Python, to the same bytes. JAX would gain
        # nothing, and PyTorch takes no more than one.
        steps_per_execution=STEPS_AT_A_TIME if keras.config.backend() == "tensorflow" else 1,
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
    """Fit a compiled `model`, or go on where an earlier call in `work` was broken off.

    The model is left with the last epoch's weights, as the study leaves it, and `work` with
    `best.weights.h5`. Curves to watch while it trains are in `.work/tensorboard/NAME`.

    Args:
        work: an ignored folder, which belongs to this training alone.

    Returns:
        One row an epoch; columns epoch (from 1), accuracy, val_accuracy, loss, val_loss.
    """
    use_deterministic_operations()
    work.mkdir(parents=True, exist_ok=True)
    curves, log, backup = board.FOLDER / name, work / "log.csv", work / "backup"
    shutil.rmtree(backup, ignore_errors=True)
    done, best = 0, None
    if kept := kept_epochs(work):
        done = int(kept[-1].name.removeprefix("epoch-"))
        shutil.copytree(kept[-1], backup)
        # An epoch that was broken off may have its row already, but not its backup.
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
    model.fit(
        training,
        validation_data=validation,
        epochs=epochs,
        shuffle=False,  # `Batches` does that
        verbose=0,
        callbacks=[
            BeginEpoch(training),
            keras.callbacks.ModelCheckpoint(
                work / "best.weights.h5",
                save_best_only=True,
                save_weights_only=True,
                initial_value_threshold=best,
            ),
            keras.callbacks.CSVLogger(log, append=True),
            board.TensorBoard(curves, write_graph=False),
            keras.callbacks.BackupAndRestore(backup, delete_checkpoint=False),
            KeepEpoch(work),
            Progress(epochs),
        ],
    )
    history = pd.read_csv(log, float_precision="round_trip")
    return pd.DataFrame({"epoch": range(1, epochs + 1), **history[CURVES]})


def save(
    folder: Path,
    *,
    network: keras.Sequential,
    best: keras.Sequential,
    history: pd.DataFrame,
    recipe: TrainingRecipe,
    training_images: int,
    validation_rows: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray,
) -> str:
    """Write into `folder` what every training writes besides its model; return it in a sentence.

    Args:
        network, best: what was trained, after the last and with the best epoch's weights.
        recipe: as it was used.
        training_images: how many.
        validation_rows: which of the encoded training images are the validation images.
        probabilities, labels: of these; (n, 10), and one-hot (n, 10).
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
        "parameters": network.count_params(),
        "training_images": training_images,
        "validation_images": len(labels),
        "best_epoch": best_epoch,
    }
    write_json(folder / "training.json", content)
    accuracy = (probabilities.argmax(axis=1) == actual).mean()
    return (
        f"validation accuracy {accuracy:.2%}; lowest validation loss in epoch {best_epoch} "
        f"of {len(history)}"
    )
