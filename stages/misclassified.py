"""Show the test images that no classifier gets right.

Reads the test images of `data/clean/` and what the evaluations wrote under `metrics/`. Writes
`plots/misclassified/`: the images, `COLUMNS` in a row (images.png), and what each classifier took
them for (images.csv).

`compare` could not do this and still run in a clone without DVC's cache, which has no images.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from stages import params
from stages.base import images
from stages.base.files import atomic_folder
from stages.cli import run
from stages.results import runs

INPUT = Path("data/clean")
OUTPUT = Path("plots/misclassified")
COLUMNS = 20


def contact_sheet(pictures: np.ndarray) -> Image.Image:
    """Images, uint8 (n, 28, 28), side by side in rows of `COLUMNS`; what is left over is black."""
    rows = max(1, -(-len(pictures) // COLUMNS))
    sheet = np.zeros((rows, COLUMNS, images.SIDE, images.SIDE), np.uint8)
    sheet.reshape(-1, images.SIDE, images.SIDE)[: len(pictures)] = pictures
    return Image.fromarray(sheet.swapaxes(1, 2).reshape(rows * images.SIDE, -1))


def main() -> None:
    models = runs.load_all(params.load())
    names = np.array(models[0].classes)
    test = images.load(INPUT, "test")
    predicted = {each.name: each.test.predicted for each in runs.classifiers(models)}
    indices = np.flatnonzero((np.stack(list(predicted.values())) != test.labels).all(axis=0))

    with atomic_folder(OUTPUT) as folder:
        contact_sheet(test.images[indices]).save(folder / "images.png", optimize=True)
        guesses = {name: names[labels[indices]] for name, labels in predicted.items()}
        table = pd.DataFrame({"index": indices, "actual": names[test.labels[indices]], **guesses})
        table.to_csv(folder / "images.csv", index=False)
    print(f"misclassified: no classifier gets {len(indices)} of {len(test):,} test images right")


if __name__ == "__main__":
    run(main)
