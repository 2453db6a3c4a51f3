"""A labelled image set: `{train,test}_images.npy`, `{train,test}_labels.npy` and `classes.json`.

`classes.json` is a list of the classes' names, that of label 0 first. Whatever needs the names or
their number takes them from there, because they belong to the data.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stages.base.files import load_array, read_json, write_json

SIDE = 28
SPLITS = ("train", "test")


@dataclass(frozen=True)
class ImageSet:
    """`images`: uint8 (n, 28, 28), 0-255. `labels`: uint8 (n,), from 0 to the classes' number - 1.

    `classes`: the classes' names, 2 to 100 of them, that of label 0 first.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def table(self) -> np.ndarray:
        """The study's 785 columns, uint8 (n, 785): the label, then the 784 pixels."""
        return np.column_stack([self.labels, self.images.reshape(len(self), -1)])

    def save(self, folder: Path, split: str) -> None:
        np.save(folder / f"{split}_images.npy", self.images)
        np.save(folder / f"{split}_labels.npy", self.labels)
        save_classes(folder, self.classes)


def load(folder: Path | str, split: str) -> ImageSet:
    """Memory-map one split of a folder that `ImageSet.save` wrote."""
    folder = Path(folder)
    return ImageSet(
        images=load_array(folder / f"{split}_images.npy"),
        labels=load_array(folder / f"{split}_labels.npy"),
        classes=load_classes(folder),
    )


def save_classes(folder: Path | str, classes: tuple[str, ...]) -> None:
    write_json(Path(folder) / "classes.json", classes)


def load_classes(folder: Path | str) -> tuple[str, ...]:
    return tuple(read_json(Path(folder) / "classes.json"))
