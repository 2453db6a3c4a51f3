"""Scale the pixels to 0-1 and make the labels one-hot.

Reads `data/clean/`. Writes `data/encoded/train/` and `data/encoded/test/`, an output each, so that
no training depends on the test set: `images.npy` float32 (n, 28, 28, 1), `labels.npy` float32
(n, classes) and `classes.json`. Plain `.npy`, so that a training can memory-map them.
"""

from pathlib import Path

import numpy as np

from stages.base import images
from stages.base.files import atomic_folder
from stages.cli import run

INPUT = "data/clean"
OUTPUT = Path("data/encoded")


def main() -> None:
    for split in images.SPLITS:
        image_set = images.load(INPUT, split)
        x = image_set.images[..., np.newaxis] / np.float32(255)
        y = np.eye(len(image_set.classes), dtype=np.float32)[image_set.labels]
        with atomic_folder(OUTPUT / split) as folder:
            np.save(folder / "images.npy", x)
            np.save(folder / "labels.npy", y)
            images.save_classes(folder, image_set.classes)
        print(f"encode: {split} images {x.dtype} {x.shape}, labels {y.dtype} {y.shape}")


if __name__ == "__main__":
    run(main)
