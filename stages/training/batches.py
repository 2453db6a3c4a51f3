"""Batches of memory-mapped arrays, and which rows a training takes them from."""

from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import KFold

from stages.cli import InputError
from stages.training.keras_setup import keras

PREDICTION_BATCH = 256


def fold_rows(rows: int, folds: int, fold: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the validation images of one fold, which counts from 1.

    The study's `KFold(shuffle=True)`; the same for every network.

    Raises:
        InputError: there are fewer images than folds.
    """
    if folds > rows:
        raise InputError(f"params.yaml: cv.folds has {folds} folds for {rows} training images")
    splits = KFold(folds, shuffle=True, random_state=seed).split(np.empty(rows))
    return list(splits)[fold - 1]


def last_rows(rows: int, validation_split: float) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the training and of the validation images, which are the last, as in Keras.

    Raises:
        InputError: the split leaves no training or no validation image.
    """
    training_images = int(rows * (1 - validation_split))
    training, validation = np.split(np.arange(rows), [training_images])
    if not (len(training) and len(validation)):
        raise InputError(
            f"params.yaml: a validation_split of {validation_split} leaves {len(training)} of "
            f"{rows} images for training and {len(validation)} for validation; both are needed"
        )
    return training, validation


class Batches(keras.utils.PyDataset):
    """Batches of rows of memory-mapped arrays.

    Their order depends only on the seed and the number of the epoch, so a training that goes on in
    epoch 20 gets the batches that it would have got without an interruption.

    Args:
        views: arrays of the same length. Each epoch draws anew which of them a row is taken from
            (the features of an image and those of its mirror image, say).
        labels: one-hot (n, classes).
        rows: indices of the rows to take.
        batch_size: rows in a batch; the last one may be smaller.
        seed: shuffle by it; None for the order of `rows` and the first view.
    """

    def __init__(
        self,
        views: Sequence[np.ndarray],
        labels: np.ndarray,
        rows: np.ndarray,
        batch_size: int = PREDICTION_BATCH,
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
    """Makes all random numbers of an epoch depend only on the seed and the epoch's number.

    `BackupAndRestore` restores weights and optimizer, but not the state of the random numbers of
    dropout and augmentation.
    """

    MOST_STEPS = 2**20  # in an epoch

    def __init__(self, batches: Batches):
        super().__init__()
        self.batches = batches
        self.states: list[tuple[keras.Variable, int]] = []

    def on_train_begin(self, logs: dict | None = None) -> None:
        # The state of a seed generator is its seed and the number of its draws.
        self.states = [
            (variable, int(keras.ops.convert_to_numpy(variable)[0]))
            for variable in self.model.variables
            if variable.path.endswith("seed_generator_state")
        ]

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.batches.begin_epoch(epoch)
        for variable, seed in self.states:
            variable.assign([seed, epoch * self.MOST_STEPS])


def predict(model: keras.Model, x: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """The output of `model` for `rows` of `x` (None: for all), a batch at a time, (n, classes).

    Not by `model.predict`, whose end waits for tf.data as `Batches` says.
    """
    rows = np.arange(len(x)) if rows is None else rows
    starts = range(0, len(rows), PREDICTION_BATCH)
    return np.concatenate(
        [
            model.predict_on_batch(x[rows[start : start + PREDICTION_BATCH]].astype(np.float32))
            for start in starts
        ]
    )
