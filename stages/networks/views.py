"""The cached features of a frozen backbone: of images and of their mirror images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.base.files import load_array
from stages.training.batches import predict

FOLDER = Path("data/features")
NAMES = ("features", "mirrored")


def paths(features: str, split: str) -> list[Path]:
    """The files that the stage `features` wrote for a key of the params section `features`."""
    first, second = (FOLDER / features / split / f"{name}.npy" for name in NAMES)
    return [first, second] if second.exists() else [first]


def load(features: str, split: str) -> list[np.ndarray]:
    """Memory-map them, (n, h, w, c) or (n, d) each."""
    return [load_array(path) for path in paths(features, split)]


def mean_prediction(
    head, views: Sequence[np.ndarray], rows: np.ndarray | None = None
) -> np.ndarray:
    """The mean over the views of the probabilities of the Keras model `head`, (n, classes).

    Args:
        rows: of the views; None for all of them.
    """
    return np.mean([predict(head, view, rows) for view in views], axis=0)
