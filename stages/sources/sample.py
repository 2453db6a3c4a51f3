"""A small sample of Fashion-MNIST in Git, so that nothing has to be downloaded.

`data/sample/README.md` has its origin and licence.
"""

from pathlib import Path

import numpy as np

from stages.base.images import ImageSet
from stages.sources import fashion_mnist

PATH = Path("data/sample/fashion_mnist.npz")


def read(split: str) -> ImageSet:
    """The images of "train" (2,000) or "test" (500)."""
    with np.load(PATH, allow_pickle=False) as arrays:
        return ImageSet(
            images=arrays[f"{split}_images"],
            labels=arrays[f"{split}_labels"],
            classes=fashion_mnist.CLASSES,
        )
