"""Train a compiled Keras classifier and evaluate it."""

import sys

import numpy as np
import pandas as pd

from stages.common.keras_setup import keras, use_deterministic_operations
from stages.common.results import Results


class BestEpoch(keras.callbacks.Callback):
    """Keeps a copy of the weights of the epoch with the lowest validation loss."""

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.epoch, self.val_loss, self.weights = 0, np.inf, None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self.weights is None or logs["val_loss"] < self.val_loss:
            self.epoch, self.val_loss = epoch + 1, logs["val_loss"]
            self.weights = self.model.get_weights()


def train_and_evaluate(
    model: keras.Model,
    train: tuple[np.ndarray, np.ndarray],
    validation: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    *,
    epochs: int,
    batch_size: int,
) -> Results:
    """Fit `model`, which is left with the last epoch's weights, as the study leaves it.

    Args:
        model: compiled with a loss and the metric "accuracy".
        train, validation, test: pairs of inputs and one-hot labels (n, 10). The test set is
            evaluated only after the last epoch is done.
        epochs: how many.
        batch_size: images in a step.
    """
    use_deterministic_operations()
    best = BestEpoch()
    print(f"{model.name}: {len(train[0]):,} training and {len(validation[0]):,} validation images")
    history = model.fit(
        *train,
        validation_data=validation,
        epochs=epochs,
        batch_size=batch_size,
        verbose=0,
        callbacks=[best, progress(epochs)],
    )
    columns = ["epoch", "accuracy", "val_accuracy", "loss", "val_loss"]
    curves = pd.DataFrame({"epoch": range(1, epochs + 1), **history.history})[columns]
    last = curves.iloc[-1]
    probabilities = model.predict(test[0], batch_size=256, verbose=0)
    test_loss, test_accuracy = model.evaluate(*test, batch_size=256, verbose=0)

    last_weights = model.get_weights()
    model.set_weights(best.weights)
    best_loss, best_accuracy = model.evaluate(*test, batch_size=256, verbose=0)
    model.set_weights(last_weights)
    return Results(
        metrics={
            "parameters": model.count_params(),
            "train_accuracy": float(last["accuracy"]),
            "train_loss": float(last["loss"]),
            "val_accuracy": float(last["val_accuracy"]),
            "val_loss": float(last["val_loss"]),
            "test_accuracy": test_accuracy,
            "test_loss": test_loss,
            "best_epoch": best.epoch,
            "best_epoch_val_loss": float(best.val_loss),
            "best_epoch_test_accuracy": best_accuracy,
            "best_epoch_test_loss": best_loss,
        },
        curves=curves,
        probabilities=probabilities.astype(np.float16),
        labels=test[1].argmax(axis=1).astype(np.uint8),
    )


def progress(epochs: int) -> keras.callbacks.Callback:
    """A bar with the time left: within the epoch too on a terminal, an epoch at a time in a log."""
    from tqdm.keras import TqdmCallback  # imports Keras, which keras_setup must do first

    terminal = sys.stderr.isatty()
    return TqdmCallback(epochs=epochs, verbose=int(terminal), mininterval=0.5 if terminal else 10)
