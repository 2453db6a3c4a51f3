"""Cut `data/sample/` from the official files of Fashion-MNIST: `python -m tools.sample`.

Run it from the repository's root. What it draws is seeded, and spread evenly over the classes.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pooch

from stages.base.files import atomic_file
from stages.base.images import SPLITS, ImageSet
from stages.cli import run
from stages.sources import csv_images, fashion_mnist, sample

SEED = 0
PER_CLASS = {"train": 200, "test": 50}
PER_CLASS_IN_CSV = {"train": 10, "test": 5}
CSV = {split: Path(f"data/sample/{split}.csv") for split in SPLITS}


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
    for split in SPLITS:
        drawn = draw(fashion_mnist.read(split), PER_CLASS[split])
        arrays |= {f"{split}_images": drawn.images, f"{split}_labels": drawn.labels}
        few = draw(drawn, PER_CLASS_IN_CSV[split])
        table = pd.DataFrame(few.table(), columns=csv_images.COLUMNS)
        with atomic_file(CSV[split]) as unfinished:
            table.to_csv(unfinished, index=False, lineterminator="\n")
    with atomic_file(sample.PATH) as unfinished:
        np.savez_compressed(unfinished, **arrays)
    print(
        f"sample: {sample.PATH} has {sample.PATH.stat().st_size:,} bytes, and the sum sha256:"
        f"{pooch.file_hash(sample.PATH)}; stages/sources/sample.py pins {sample.SUM}"
    )


if __name__ == "__main__":
    run(main)
