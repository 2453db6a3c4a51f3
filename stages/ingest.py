"""Bring the images in from outside, checked, in one form whatever they came from.

Reads what `data.source` names: the official files of Fashion-MNIST, the sample of it in Git, a pair
of CSV tables, four IDX files, or a folder of pictures. Writes `data/raw/`: images uint8
(n, 28, 28) and labels uint8 (n,), for train and test, and the classes' names.
"""

from pathlib import Path

import numpy as np

from stages import params
from stages.base import images
from stages.base.files import atomic_folder
from stages.base.images import ImageSet
from stages.cli import InputError, run
from stages.params import Data
from stages.sources import csv_images, fashion_mnist, idx, picture_folder, sample

OUTPUT = "data/raw"


def read(data: Data, split: str) -> ImageSet:
    classes = tuple(data.classes or fashion_mnist.CLASSES)
    match data.source:
        case "fashion_mnist":
            return fashion_mnist.read(split)
        case "sample":
            return sample.read(split)
        case "csv":
            return csv_images.read(Path(getattr(data.csv, split)), classes)
        case "idx":
            return idx.read(data.idx, split, classes)
        case "folder":
            return picture_folder.read(Path(data.folder), split, data.framed is not False)


def check_classes(split: str, image_set: ImageSet) -> None:
    """Raise an `InputError` unless every class occurs."""
    counts = np.bincount(image_set.labels, minlength=len(image_set.classes))
    missing = ", ".join(map(str, np.flatnonzero(counts == 0)))
    if missing:
        raise InputError(
            f"the {split} set has no image of label {missing}; all of 0 to {len(counts) - 1} are "
            "needed: add images, number the labels from 0, or correct data.classes in params.yaml"
        )


def main() -> None:
    data = params.load().data
    with atomic_folder(OUTPUT) as folder:
        for split in images.SPLITS:
            image_set = read(data, split)
            check_classes(split, image_set)
            image_set.save(folder, split)
            print(f"ingest: {len(image_set):,} {split} images from {data.source}", flush=True)


if __name__ == "__main__":
    run(main)
