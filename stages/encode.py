"""Scale the pixels to 0-1 and make the labels one-hot.

Reads `data/clean/`. Writes `data/encoded/`: `x_{train,test}.npy` float32 (n, 28, 28, 1) and
`y_{train,test}.npy` float32 (n, 10). Plain `.npy`, so that whoever trains can memory-map them.
"""

import numpy as np

from stages.common import images
from stages.common.command import run
from stages.common.files import whole_folder

INPUT = "data/clean"
OUTPUT = "data/encoded"


def main() -> None:
    with whole_folder(OUTPUT) as folder:
        for split in images.SPLITS:
            image_set = images.load(INPUT, split)
            x = image_set.images[..., np.newaxis] / np.float32(255)
            y = np.eye(images.CLASSES, dtype=np.float32)[image_set.labels]
            np.save(folder / f"x_{split}.npy", x)
            np.save(folder / f"y_{split}.npy", y)
            print(f"encode: {split} x {x.dtype} {x.shape}, y {y.dtype} {y.shape}")


if __name__ == "__main__":
    run(main)
