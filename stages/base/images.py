"""A labelled image set, on disk as `{train,test}_images.npy` and `{train,test}_labels.npy`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.base.files import load_array

SIDE = 28
CLASSES = 10
SPLITS = ("train", "test")


@dataclass(frozen=True)
class ImageSet:
    """`images`: uint8 (n, 28, 28), 0-255. `labels`: uint8 (n,), 0-9."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def table(self) -> np.ndarray:
        """The study's 785 columns, uint8 (n, 785): the label, then the 784 pixels."""
        return np.column_stack([self.labels, self.images.reshape(len(self), -1)])

    def save(self, folder: Path, split: str) -> None:
        np.save(folder / f"{split}_images.npy", self.images)
        np.save(folder / f"{split}_labels.npy", self.labels)


def load(folder: Path | str, split: str) -> ImageSet:
    """Memory-map one split of a folder that `ImageSet.save` wrote."""
    folder = Path(folder)
    return ImageSet(
        images=load_array(folder / f"{split}_images.npy"),
        labels=load_array(folder / f"{split}_labels.npy"),
    )
