"""The cached features of a frozen backbone: an image's and, if asked for, its mirror image's."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stages.base.files import load_array

FOLDER = Path("data/features")
NAMES = ("features", "mirrored")


def paths(features: str, split: str) -> list[Path]:
    """The files that the stage `features` wrote for a key of the params section `features`."""
    first, second = (FOLDER / features / split / f"{name}.npy" for name in NAMES)
    return [first, second] if second.exists() else [first]


def load(features: str, split: str) -> list[np.ndarray]:
    """Memory-map them, (n, h, w, c) or (n, d) each.

    Raises:
        InputError: they are not there.
    """
    return [load_array(path) for path in paths(features, split)]


def mean_prediction(
    head, views: Sequence[np.ndarray], rows: np.ndarray | slice = slice(None)
) -> np.ndarray:
    """The mean over the views of the probabilities that the Keras model `head` gives, (n, 10)."""
    found = [
        head.predict(view[rows].astype(np.float32), batch_size=256, verbose=0) for view in views
    ]
    return np.mean(found, axis=0)
