"""Name the three likeliest classes of pictures, by a model that this project trained.

Files are answered in a line each. A folder, or --output, makes it a CSV table. DVC does not run
this: it is no stage.
"""

import argparse
import csv
import struct
import sys
import textwrap
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from stages import params
from stages.cli import InputError
from stages.common.classes import class_names
from stages.common.files import atomic_file
from stages.common.images import CLASSES, SIDE

if TYPE_CHECKING:
    from stages.common.keras_setup import keras

MODEL = Path("models/lenet/best.keras")
BATCH = 256
TOP = 3
COLUMNS = [
    "file",
    *(f"{what}_{place}" for place in range(1, TOP + 1) for what in ("class", "probability")),
]
# The data set's makers trimmed what is within 5 % of the background (arXiv:1708.07747, section 2).
TOLERANCE = 0.05 * 255
# What Pillow's readers have been seen to raise for damaged files.
DAMAGED = (OSError, RuntimeError, SyntaxError, TypeError, ValueError, struct.error)

Row = tuple[Path, list[tuple[str, float]]]  # a picture, and classes with their probabilities


def prepare(picture: Image.Image) -> np.ndarray:
    """The picture as the models take it: a light object on a background of 0.

    The background is the median of the border's pixels. A picture of 28x28 stays as it is, but is
    inverted if its background is light (over 127). Any other is made much like the data set's
    (arXiv:1708.07747, section 2): each pixel becomes its distance from the background, what
    surrounds the object is trimmed, the longer side scaled to 28, and the object centred. The
    makers also sharpened, and scaled by leaving out rows and columns.

    Args:
        picture: upright, of any size. Where it is transparent it is white.

    Returns:
        uint8 array (28, 28).

    Raises:
        ValueError: its pixels are floating-point numbers.
    """
    grey = _grey(picture)
    pixels = np.asarray(grey)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    background = int(np.median(border))
    if grey.size == (SIDE, SIDE):
        return 255 - pixels if background > 127 else pixels
    # On a light background this inverts, and it leaves one of 0 whatever it was.
    distance = ImageChops.difference(grey, Image.new("L", grey.size, background))
    # Without an object there is no box, and `crop` trims nothing.
    trimmed = distance.crop(distance.point(lambda value: value > TOLERANCE).getbbox())
    return np.asarray(ImageOps.pad(trimmed, (SIDE, SIDE), Image.Resampling.LANCZOS))


def _grey(picture: Image.Image) -> Image.Image:
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers, which do not say what white is")
    if picture.mode.startswith("I"):
        # Of these 16 bits Pillow would take all above 255 for white.
        pixels = np.asarray(picture) / 257
        return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    colour = picture.convert("RGBA")
    white = Image.new("RGBA", colour.size, "white")
    return Image.alpha_composite(white, colour).convert("L")


def read(path: Path) -> np.ndarray:
    """The picture in the file `path`, prepared: uint8 (28, 28).

    Raises:
        InputError: it is missing, no picture, damaged or too large.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of much that leaves the pixels whole, such as damaged EXIF data.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                picture.load()
                upright = ImageOps.exif_transpose(picture)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; correct its name") from None
    except UnidentifiedImageError:
        raise InputError(f"{path} is no picture that Pillow can read; leave it out") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(
            f"{path} has more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller"
        ) from None
    except DAMAGED as error:
        raise InputError(f"{path} cannot be read ({_short(error)}); save it anew as PNG") from None
    try:
        return prepare(upright)
    except ValueError as error:
        raise InputError(f"{path}: {error}; save it anew as PNG") from None


def files_of(path: Path) -> list[Path]:
    """The file `path`; or the files with a picture's suffix in the folder `path`, by name.

    Raises:
        InputError: the folder has none.
    """
    if not path.is_dir():
        return [path]
    formats = Image.registered_extensions()
    found = sorted(
        file for file in path.iterdir() if formats.get(file.suffix.lower()) in Image.OPEN
    )
    if not found:
        raise InputError(f"{path} is a folder without pictures; name another one")
    return found


def check_model(path: Path) -> None:
    """Raise an `InputError` unless `path` looks like a Keras model, which takes no Keras to see."""
    if not path.exists():
        way = "`git restore` brings it back" if path == MODEL else "`dvc pull` fetches it"
        raise InputError(f"{path} is missing; {way}, or `dvc repro` trains it")
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise InputError(f"{path} is no Keras model; name a .keras file that this project wrote")


def load_model(path: Path) -> "keras.Model":
    """Load a model that takes raw images (n, 28, 28), 0-255, and gives probabilities (n, 10).

    Raises:
        InputError: it is another one, or none.
    """
    # Keras takes many seconds to import, which nobody should wait for to hear of a wrong name.
    from stages.common.keras_setup import keras

    try:
        model = keras.saving.load_model(path, compile=False)
    except (KeyError, OSError, RuntimeError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} is no model that Keras can load ({_short(error)}); name another one"
        ) from None
    # A model that was saved before it knew its shapes has none.
    taken, given = (getattr(model, shape, None) for shape in ("input_shape", "output_shape"))
    if (taken, given) != ((None, SIDE, SIDE), (None, CLASSES)):
        raise InputError(
            f"{path} turns {taken} into {given}, where a model of this project turns raw images "
            f"(n, {SIDE}, {SIDE}) into probabilities (n, {CLASSES}); name another one"
        )
    return model


def _short(error: Exception) -> str:
    return textwrap.shorten(str(error), 150) or type(error).__name__


def predict(model: "keras.Model", images: np.ndarray) -> np.ndarray:
    """The probabilities (n, 10) of the images (n, 28, 28), 0-255."""
    starts = range(0, len(images), BATCH)
    return np.concatenate(
        [model.predict_on_batch(images[start : start + BATCH]) for start in _bar(starts, "batch")]
    )


def _bar(items: Sequence, unit: str) -> Iterable:
    """A progress bar, on a terminal and if it takes more than two seconds."""
    return tqdm(items, unit=unit, disable=None, delay=2)


def write_table(rows: list[Row], stream: TextIO) -> None:
    """Write the columns `COLUMNS`, and a row for each picture."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for file, guesses in rows:
        writer.writerow([file, *(cell for name, p in guesses for cell in (name, f"{p:.6f}"))])


def main(paths: list[Path], model: Path = MODEL, output: Path | None = None) -> None:
    """Print what the model says of the pictures, or write it to `output`.

    Raises:
        InputError: a picture, the model or `output` cannot be used.
    """
    names = class_names(params.load().data)
    if output and output.suffix != ".csv":
        raise InputError(f"--output is {output}, where a table is written; end its name in .csv")
    check_model(model)
    files = [file for path in paths for file in files_of(path)]
    images = np.stack([read(file) for file in _bar(files, "picture")])

    probabilities = predict(load_model(model), images)
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    rows = [
        (file, [(names[label], row[label]) for label in labels])
        for file, row, labels in zip(files, probabilities, best, strict=True)
    ]
    if output:
        try:
            with (
                atomic_file(output) as unfinished,
                unfinished.open("w", encoding="utf-8") as stream,
            ):
                write_table(rows, stream)
        except OSError as error:
            raise InputError(
                f"{output} cannot be written ({error.strerror}); name another file"
            ) from None
        print(f"predict: {len(rows):,} pictures, {output}")
    elif any(path.is_dir() for path in paths):
        write_table(rows, sys.stdout)
    else:
        for file, guesses in rows:
            print(f"{file}: {', '.join(f'{name} {100 * p:.1f} %' for name, p in guesses)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.predict", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, metavar="IMAGE", help="a file or a folder")
    parser.add_argument("--model", type=Path, default=MODEL, help=f"default: {MODEL}")
    parser.add_argument("--output", type=Path, metavar="CSV", help="where the table goes")
    try:
        main(**vars(parser.parse_args()))
    except InputError as error:
        sys.exit(f"predict: error: {error}")
