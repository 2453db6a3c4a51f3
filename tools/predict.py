"""Name the three likeliest classes of pictures, by models that this project trained.

Prints a line for each picture, or a CSV table for a folder. Each picture is prepared as those that
the models were trained on. For Fashion-MNIST and most folders of pictures, it should show one
object on a plain background; it is framed: trimmed, scaled and centred. Files that cannot be read
are skipped and named on standard error; the exit status is then 1.
"""

import argparse
import csv
import os
import signal
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from stages.base.files import atomic_file, read_json
from stages.base.images import SIDE
from stages.cli import InputError
from stages.sources import pictures

MODELS = Path("models/exported")
# They lie beside a model; for the mean of several heads, beside the first of them. Where two give
# the same key, the later one counts.
NOTES = ("calibration.json", "training.json", "1/training.json", "{model}.json")
TOP, BATCH = 3, 256


def model_files(path: Path) -> list[Path]:
    """The model `path`, that of a training in the folder `path`, or all in the folder, by name.

    Raises:
        InputError: there is none, or a file is not a Keras model.
    """
    files, trained = [path], path / "model.keras"
    if os.path.isdir(path):
        # A name that begins with a dot is unfinished.
        files = [trained] if trained.exists() else sorted(path.glob("[!.]*.keras"))
    for file in files or [path]:
        if file.suffix != ".keras" or not zipfile.is_zipfile(file):
            raise InputError(
                f"{file} is not a .keras model or a folder with one; correct the path, or train "
                "the model (`dvc pull` gets it from a remote)"
            )
    return files


def predict(
    models: list[Path], images: np.ndarray, classes: int | None = None, temperature: float = 1
) -> np.ndarray:
    """The mean over the models of the probabilities, (n, classes), of uint8 images (n, 28, 28).

    The temperature comes before the mean, because it was fitted for single folds: no image is a
    validation image of all of them, to fit the mean's with.

    Raises:
        InputError: a file is not a model of this project, or has other classes.
    """
    # Imported here, because it takes seconds: a wrong name is reported at once.
    from stages.results.evaluation import Predictions
    from stages.training.keras_setup import keras

    answers = []
    for path in models:
        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
            starts = tqdm(range(0, len(images), BATCH), unit="batch", disable=None, delay=2)
            parts = [model.predict_on_batch(images[start : start + BATCH]) for start in starts]
            answer = np.concatenate(parts).astype(float)
            sound = model.input_shape == (None, SIDE, SIDE)
            sound &= answer.shape == (len(images), classes or answer.shape[-1])
            # In half precision the sum differs from 1 by a few thousandths.
            if not (sound and np.allclose(answer.sum(axis=1), 1, atol=0.01)):
                raise ValueError("it does not give probabilities of these classes for raw images")
        except Exception as error:  # foreign files make Keras raise nearly everything
            reason = textwrap.shorten(str(error), 200) or type(error).__name__
            raise InputError(f"{path} cannot be used ({reason}); name another model") from None
        classes = answer.shape[1]
        answers.append(Predictions(answer, np.empty(0)).at(temperature).probabilities)
    return np.mean(answers, axis=0)


def save_sheet(images: np.ndarray, path: Path) -> None:
    """What the network sees, four times as large, in rows of up to `COLUMNS` images."""
    from stages.misclassified import COLUMNS, contact_sheet

    sheet = contact_sheet(images)
    sheet = sheet.crop((0, 0, min(len(images), COLUMNS) * SIDE, sheet.height))
    with atomic_file(path) as unfinished:
        ImageOps.scale(sheet, 4, Image.Resampling.NEAREST).save(unfinished)


def notes_of(model: Path) -> dict[str, Any]:
    """The facts about the model in the file `model`, from `NOTES`; {} if there are none."""
    notes = {}
    for name in NOTES:
        path = model.parent / name.format(model=model.stem)
        if path.exists():
            notes |= read_json(path)
    return notes


def main(
    paths: list[Path],
    model: Path = MODELS,
    show: Path | None = None,
    framed: bool | None = None,
) -> int:
    """Print the classes of the pictures; return 1 if a picture cannot be read, else 0.

    Args:
        framed: whether to frame the pictures. None: as the training pictures of the model were; if
            it does not say so, as those of `MODELS` were.

    Raises:
        InputError: the model or `show` cannot be used, or there is no picture.
    """
    models = model_files(model)
    notes = notes_of(models[0])
    if framed is None:
        framed = (notes_of(MODELS / "1.keras") | notes).get("framed", True)
    everything, files, images = [], [], []
    for path in paths:
        everything += sorted(path.glob("[!.]*")) if os.path.isdir(path) else [path]
    if not everything:
        raise InputError(f"{paths[0]} is a folder without pictures; name another one")
    for file in tqdm(everything, unit="picture", disable=None, delay=2):
        try:
            images.append(pictures.read(file, framed))
            files.append(file)
        except InputError as error:
            print(f"predict: error: {error}", file=sys.stderr)
    if show and (show.suffix != ".png" or show.resolve() in [file.resolve() for file in files]):
        raise InputError(f"--show is {show}; name a .png file that is not one of the pictures")
    if not files:
        return 1
    names = notes.get("classes")
    answers = predict(models, np.stack(images), names and len(names), notes.get("temperature", 1))
    names = names or [str(label) for label in range(answers.shape[1])]
    if show:
        save_sheet(np.stack(images), show)
    places, table = range(1, min(TOP, len(names)) + 1), None
    if any(map(os.path.isdir, paths)):
        table = csv.writer(sys.stdout, lineterminator="\n")
        columns = [f"{each}_{place}" for place in places for each in ("class", "probability")]
        table.writerow(["file", *columns, "warning"])
    for file, image, answer in zip(files, images, answers, strict=True):
        best = np.argsort(-answer, kind="stable")[: len(places)]
        unlike = "unlike most training images" if answer.max() < notes.get("threshold", 0) else ""
        warning = unlike if pictures.has_object(image) else "no object on it"
        if table:
            cells = [cell for label in best for cell in (names[label], f"{answer[label]:.6f}")]
            table.writerow([file, *cells, warning])
        else:
            guesses = ", ".join(f"{names[label]} {100 * answer[label]:.1f} %" for label in best)
            print(f"{file}: {guesses}" + (f"; warning: {warning}" if warning else ""))
    return int(len(files) < len(everything))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.predict", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, metavar="IMAGE", help="a file or a folder")
    kinds = "a .keras file, a training's folder such as models/vgg/study, or a folder of models"
    parser.add_argument("--model", type=Path, default=MODELS, help=f"{kinds}; default: {MODELS}")
    parser.add_argument("--show", type=Path, metavar="PNG", help="file for the prepared pictures")
    framing = "trim pictures to their object, or not; default: as the training pictures"
    parser.add_argument(
        "--framing", dest="framed", action=argparse.BooleanOptionalAction, help=framing
    )
    sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may not be text
    for ending in (signal.SIGPIPE, signal.SIGINT):  # without a traceback: `... | head`, Ctrl-C
        signal.signal(ending, signal.SIG_DFL)
    try:
        sys.exit(main(**vars(parser.parse_args())))
    except InputError as error:
        sys.exit(f"predict: error: {error}")
