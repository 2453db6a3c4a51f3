"""What a trained network gives on the test set: written by the evaluations, read by `compare`.

The evaluations are the only stages in which a model meets the test set. For each training they
write one folder for Git, `metrics/NETWORK/RECIPE/FOLD/`; FOLD is 1 where there is one training:

- `metrics.json`: flat numbers, of the network after the last epoch unless they say otherwise;
- `training.json`, `history.csv`: what the training wrote under these names;
- `predictions.npz`: probabilities float16 (n, classes) and labels uint8 (n,) of the validation and
  of the test images, and which of the training images the validation images are, uint32 (n,).
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from sklearn.metrics import accuracy_score, log_loss

from stages.base.files import load_arrays, read_json, write_json

METRICS = Path("metrics")
# Keras's own bound, so that a probability of 0 costs the same here as in its loss.
SMALLEST_PROBABILITY = 1e-7
BINS = 15


@dataclass(frozen=True)
class Predictions:
    """Probabilities (n, classes) and true labels uint8 (n,)."""

    probabilities: np.ndarray
    labels: np.ndarray

    @property
    def predicted(self) -> np.ndarray:
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        return float(accuracy_score(self.labels, self.predicted))

    @property
    def loss(self) -> float:
        """The mean cross-entropy, in nats."""
        bounded = np.clip(self.probabilities.astype(np.float64), SMALLEST_PROBABILITY, 1)
        bounded /= bounded.sum(axis=1, keepdims=True)
        return float(log_loss(self.labels, bounded, labels=range(bounded.shape[1])))

    @property
    def calibration_error(self) -> float:
        """Expected calibration error in `BINS` bins (Guo et al. 2017, arXiv:1706.04599)."""
        confidence = self.probabilities.max(axis=1).astype(np.float64)
        bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
        surplus = np.bincount(bins, confidence - (self.predicted == self.labels))
        return float(np.abs(surplus).sum() / len(confidence))

    def at(self, temperature: float) -> "Predictions":
        """The same with the logits divided by `temperature`: above 1 it is less sure of itself."""
        logits = np.log(np.clip(self.probabilities.astype(np.float64), SMALLEST_PROBABILITY, 1))
        powers = np.exp(logits / temperature)
        return Predictions(powers / powers.sum(axis=1, keepdims=True), self.labels)

    def in_half_precision(self) -> "Predictions":
        """As they are kept: whoever computes a number from the file gets the one beside it."""
        return Predictions(self.probabilities.astype(np.float16), self.labels)


def best_temperature(validation: Predictions) -> float:
    """The temperature with the lowest loss on validation images (Guo et al. 2017)."""
    minimum = minimize_scalar(
        lambda log: validation.at(np.exp(log)).loss, bounds=(np.log(0.05), np.log(20))
    )
    return float(np.exp(minimum.x))


@dataclass(frozen=True)
class Run:
    """One training and its evaluation.

    metrics: flat numbers.
    training: the hyperparameters as they were used, the network's size, and the names of the
        classes.
    curves: one row an epoch, from 1; columns epoch, accuracy, val_accuracy, loss, val_loss.
    validation, test: of the network after the last epoch; probabilities float16.
    validation_rows: which of the training images are the validation images, (n,).
    """

    metrics: dict[str, float]
    training: dict[str, Any]
    curves: pd.DataFrame
    validation: Predictions
    validation_rows: np.ndarray
    test: Predictions


def evaluate(trained: Path, folder: Path, last: Predictions, best: Predictions) -> str:
    """Write the evaluation of one training into `folder`, and return its gist in a sentence.

    Args:
        trained: the folder of that training.
        last: for the test images, after the last epoch.
        best: for the test images, with the weights of the best epoch.
    """
    arrays = load_arrays(trained / "validation.npz")
    validation = Predictions(arrays["probabilities"], arrays["labels"]).in_half_precision()
    test, best = last.in_half_precision(), best.in_half_precision()
    history = pd.read_csv(trained / "history.csv")
    temperature = best_temperature(validation)
    calibrated = test.at(temperature)
    metrics = {
        "train_accuracy": float(history["accuracy"].iloc[-1]),
        "train_loss": float(history["loss"].iloc[-1]),
        "val_accuracy": validation.accuracy,
        "val_loss": validation.loss,
        "val_calibration_error": validation.calibration_error,
        "test_accuracy": test.accuracy,
        "test_loss": test.loss,
        "test_calibration_error": test.calibration_error,
        "temperature": temperature,
        "calibrated_test_loss": calibrated.loss,
        "calibrated_test_calibration_error": calibrated.calibration_error,
        "best_epoch": read_json(trained / "training.json")["best_epoch"],
        "best_epoch_val_loss": float(history["val_loss"].min()),
        "best_epoch_test_accuracy": best.accuracy,
        "best_epoch_test_loss": best.loss,
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "metrics.json", metrics)
    for name in ("training.json", "history.csv"):
        shutil.copyfile(trained / name, folder / name)
    np.savez(
        folder / "predictions.npz",
        validation_probabilities=validation.probabilities,
        validation_labels=validation.labels,
        validation_rows=arrays["rows"],
        test_probabilities=test.probabilities,
        test_labels=test.labels,
    )
    return (
        f"test accuracy {test.accuracy:.2%}, loss {test.loss:.4f} "
        f"({calibrated.loss:.4f} at temperature {temperature:.2f})"
    )


def load(network: str, recipe: str, fold: int) -> Run:
    """Read what `evaluate` wrote into `metrics/NETWORK/RECIPE/FOLD/`.

    Raises:
        InputError: it is not there.
    """
    folder = METRICS / network / recipe / str(fold)
    arrays = load_arrays(folder / "predictions.npz")
    return Run(
        metrics=read_json(folder / "metrics.json"),
        training=read_json(folder / "training.json"),
        curves=pd.read_csv(folder / "history.csv"),
        validation=Predictions(arrays["validation_probabilities"], arrays["validation_labels"]),
        validation_rows=arrays["validation_rows"],
        test=Predictions(arrays["test_probabilities"], arrays["test_labels"]),
    )
