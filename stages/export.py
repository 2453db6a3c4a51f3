"""Take out of DVC's cache what a clone without it wants: a model to predict with, and pictures.

Reads the folds' models, every training's results under `metrics/` and the test images of
`data/clean/`. Writes `models/lenet/best.keras`, the LeNet-5 that did best on its own validation
images, with its weights in half precision, and `plots/misclassified/`: the test images that no
classifier gets right (images.png, `COLUMNS` in a row), and what each took them for (images.csv).

`compare` could do neither and still run in such a clone, which has no model and no image to read.
"""

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from PIL import Image

from stages import params
from stages.cli import InputError, run
from stages.common import images
from stages.common.files import atomic_file, atomic_folder

DATA = Path("data/clean")
FOLDS = Path("models/lenet/folds")
MODEL = Path("models/lenet/best.keras")
MISCLASSIFIED = Path("plots/misclassified")
WEIGHTS = "model.weights.h5"
COLUMNS = 20


def in_half_precision(weights: bytes) -> bytes:
    """The HDF5 file `weights` with float16 in place of float32; Keras reads one like the other."""
    file = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as source, h5py.File(file, "w") as target:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                half = item.dtype == np.float32
                target.create_dataset(name, data=item[()].astype(np.float16) if half else item[()])
            else:
                target.require_group(name)
            target[name].attrs.update(item.attrs)

        source.visititems(copy)
        target.attrs.update(source.attrs)
    return file.getvalue()


def export_model(source: Path, path: Path) -> None:
    """Write the `.keras` file `source` to `path` at half its size.

    LeNet-5 with 512 units, the most that the search admits, stays under 1.5 MB that way.

    Raises:
        InputError: `source` is not there.
    """
    if not source.exists():
        raise InputError(f"{source} is missing; `dvc checkout` or `dvc pull` brings it")
    with (
        zipfile.ZipFile(source) as full,
        atomic_file(path) as unfinished,
        zipfile.ZipFile(unfinished, "w") as half,
    ):
        for entry in full.infolist():
            content = full.read(entry)
            half.writestr(
                entry, in_half_precision(content) if entry.filename == WEIGHTS else content
            )


def contact_sheet(pictures: np.ndarray) -> Image.Image:
    """Images, uint8 (n, 28, 28), side by side in rows of `COLUMNS`; what is left over is black."""
    side, rows = images.SIDE, max(1, -(-len(pictures) // COLUMNS))
    sheet = Image.new("L", (COLUMNS * side, rows * side))
    for number, pixels in enumerate(pictures):
        row, column = divmod(number, COLUMNS)
        sheet.paste(Image.fromarray(pixels), (column * side, row * side))
    return sheet


def main() -> None:
    settings = params.load()
    trained = classifiers.load_all(settings)
    names = np.array(class_names(settings.data.source))
    test = images.load(DATA, "test")
    predicted = classifiers.predictions(trained)
    indices = np.flatnonzero((np.stack(list(predicted.values())) != test.labels).all(axis=0))

    recipe, fold = classifiers.best_lenet(trained)
    export_model(FOLDS / f"{recipe}-{fold}.keras", MODEL)
    with atomic_folder(MISCLASSIFIED) as folder:
        contact_sheet(test.images[indices]).save(folder / "images.png", optimize=True)
        guesses = {classifier: names[labels[indices]] for classifier, labels in predicted.items()}
        table = pd.DataFrame({"index": indices, "actual": names[test.labels[indices]], **guesses})
        table.to_csv(folder / "images.csv", index=False)
    print(
        f"export: {MODEL} is recipe {recipe}, fold {fold}, {MODEL.stat().st_size / 1e6:.2f} MB; "
        f"no classifier gets {len(indices)} of {len(test):,} test images right ({MISCLASSIFIED})"
    )


if __name__ == "__main__":
    run(main)
