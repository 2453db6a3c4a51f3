"""Cut `data/sample/` from the official files of Fashion-MNIST: `python -m tools.sample`.

Run it from the repository's root. What it draws is seeded, and spread evenly over the classes. The
two pictures in `docs` are not from there: they are drawings of our own.
"""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pooch
from PIL import Image

from stages.base.files import atomic_file
from stages.base.images import SPLITS, ImageSet
from stages.cli import run
from stages.sources import csv_images, fashion_mnist, sample

SEED = 0
PER_CLASS = {"train": 200, "test": 50}
FEW_PER_CLASS = {"train": 10, "test": 5}  # as tables, and some classes as pictures
PICTURES = Path("data/sample/pictures")
CLASSES = ("Bag", "Sneaker", "Trouser")


def draw(image_set: ImageSet, per_class: int) -> ImageSet:
    """`per_class` images of every class, drawn at random, in the order that they had."""
    generator = np.random.RandomState(SEED)  # unlike default_rng's, its numbers stay as they are
    chosen = [
        generator.choice(np.flatnonzero(image_set.labels == label), per_class, replace=False)
        for label in range(len(image_set.classes))
    ]
    rows = np.sort(np.concatenate(chosen))
    return ImageSet(image_set.images[rows], image_set.labels[rows], image_set.classes)


def main() -> None:
    arrays = {}
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    for split in SPLITS:
        drawn = draw(fashion_mnist.read(split), PER_CLASS[split])
        arrays |= {f"{split}_images": drawn.images, f"{split}_labels": drawn.labels}
        few = draw(drawn, FEW_PER_CLASS[split])
        table = pd.DataFrame(few.table(), columns=csv_images.COLUMNS)
        table.to_csv(f"data/sample/{split}.csv", index=False, lineterminator="\n")
        for row, (image, label) in enumerate(zip(few.images, few.labels, strict=True), start=1):
            if (name := few.classes[label]) in CLASSES:
                path = PICTURES / split / name / f"{row:03}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path, optimize=True)
    with atomic_file(sample.PATH) as unfinished:
        np.savez_compressed(unfinished, **arrays)
    pinned = f"stages/sources/sample.py pins {sample.SUM}"
    print(f"sample: {sample.PATH} has the sum sha256:{pooch.file_hash(sample.PATH)}; {pinned}")


if __name__ == "__main__":
    run(main)
