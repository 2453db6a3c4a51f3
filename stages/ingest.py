"""Bring the images in from outside, checked, in one form whatever they came from.

Reads what `data.source` names: the official files of Fashion-MNIST, the sample of it in Git, a pair
of CSV tables, or four IDX files. Writes `data/raw/`: images uint8 (n, 28, 28) and labels uint8
(n,), for train and test.
"""

from pathlib import Path

import numpy as np

from stages import params
from stages.base import images
from stages.base.files import atomic_folder
from stages.base.images import ImageSet
from stages.cli import InputError, run
from stages.sources import csv_images, fashion_mnist, idx, sample

OUTPUT = "data/raw"


def check_classes(split: str, images_of_split: ImageSet) -> None:
    """Raise an `InputError` unless every class occurs."""
    last = len(images_of_split.classes) - 1
    counts = np.bincount(images_of_split.labels, minlength=last + 1)
    if not counts.all():
        missing = ", ".join(str(label) for label in np.flatnonzero(counts == 0))
        raise InputError(
            f"the {split} set has no image of label {missing}; all of 0 to {last} are needed: "
            "add images of it, or take another data.source in params.yaml"
        )


def main() -> None:
    data = params.load().data
    classes = tuple(data.classes or fashion_mnist.CLASSES)
    read = {
        "fashion_mnist": fashion_mnist.read,
        "sample": sample.read,
        "csv": lambda split: csv_images.read(Path(getattr(data.csv, split)), classes),
        "idx": lambda split: idx.read(data.idx, split, classes),
    }[data.source]
    with atomic_folder(OUTPUT) as folder:
        for split in images.SPLITS:
            image_set = read(split)
            check_classes(split, image_set)
            image_set.save(folder, split)
            print(f"ingest: {len(image_set):,} {split} images from {data.source}", flush=True)


if __name__ == "__main__":
    run(main)
