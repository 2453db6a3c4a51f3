"""What the training of one model gave: written by who trains, read by who compares."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stages.common.command import InputError
from stages.common.files import load_arrays, read_json, whole_file, write_json

METRICS = Path("metrics")


@dataclass(frozen=True)
class Results:
    """The results of one training.

    metrics: flat numbers: of the last epoch, and on the test set after the last and the best epoch.
    curves: one row an epoch, from 1; columns epoch, accuracy, val_accuracy, loss, val_loss.
    probabilities: float16 (n_test, 10), on the test set after the last epoch.
    labels: uint8 (n_test,), the test set's.
    """

    metrics: dict[str, float]
    curves: pd.DataFrame
    probabilities: np.ndarray
    labels: np.ndarray

    def save(self, name: str) -> None:
        """Write `metrics/NAME` .json, .csv (the curves) and .npz (probabilities and labels)."""
        with whole_file(METRICS / f"{name}.csv") as unfinished:
            self.curves.to_csv(unfinished, index=False, float_format="%.6f")
        with whole_file(METRICS / f"{name}.npz") as unfinished:
            np.savez(unfinished, probabilities=self.probabilities, labels=self.labels)
        write_json(METRICS / f"{name}.json", self.metrics)

    def summary(self) -> str:
        return (
            f"test accuracy {self.metrics['test_accuracy']:.2%}, loss "
            f"{self.metrics['test_loss']:.4f}; lowest validation loss in epoch "
            f"{self.metrics['best_epoch']} of {len(self.curves)}"
        )


def load(name: str) -> Results:
    """Read what `Results.save` wrote.

    Raises:
        InputError: it is not there.
    """
    path = METRICS / f"{name}.json"
    if not path.exists():
        raise InputError(
            f"{path} is missing; `dvc repro` writes it, in the stage that trains {name}"
        )
    arrays = load_arrays(path.with_suffix(".npz"))
    return Results(
        metrics=read_json(path),
        curves=pd.read_csv(path.with_suffix(".csv")),
        probabilities=arrays["probabilities"],
        labels=arrays["labels"],
    )
