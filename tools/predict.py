"""Name the three likeliest classes of pictures, by models that this project trained.

A picture is answered in a line, a folder in a CSV table. Each picture is prepared as those that the
models were trained on. For Fashion-MNIST and most folders of pictures it is taken for one object on
a plain ground and framed: trimmed, scaled and centred. What cannot be read is left out and named on
standard error, and the exit status is then 1.
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
# What is known of a model lies beside it; beside the mean of several heads, in that of the first.
# Of two that say the same, the later is right.
NOTES = ("calibration.json", "training.json", "1/training.json", "{model}.json")
TOP, BATCH = 3, 256


def model_files(path: Path) -> list[Path]:
    """The model `path`, that of a training in the folder `path`, or all in the folder, by name.

    Raises:
        InputError: there is none, or a file is no Keras model.
    """
    files, trained = [path], path / "model.keras"
    if os.path.isdir(path):
        # What begins with a dot is not finished.
        files = [trained] if trained.exists() else sorted(path.glob("[!.]*.keras"))
    for file in files or [path]:
        if file.suffix != ".keras" or not zipfile.is_zipfile(file):
            raise InputError(
                f"{file} is no Keras model that was trained here, and has none in it; correct the "
                "name, or `dvc pull` or train it"
            )
    return files


def predict(
    models: list[Path], images: np.ndarray, classes: int | None = None, temperature: float = 1
) -> np.ndarray:
    """The mean over the models of the probabilities, (n, classes), of uint8 images (n, 28, 28).

    The temperature comes before the mean, because it was fitted for single folds: no image is a
    validation image of all of them, to fit the mean's with.

    Raises:
        InputError: one is no model of this project, or of other classes.
    """
    # They take seconds to import, which nobody should wait for to hear of a wrong name.
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
            # In half precision the sum is off by a few thousandths.
            if not (sound and np.allclose(answer.sum(axis=1), 1, atol=0.01)):
                raise ValueError("it does not give probabilities of these classes for raw images")
        except Exception as error:  # what others wrote makes Keras raise nearly everything
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
    """What is known of the model in the file `model`, by NOTES; {} for one from elsewhere."""
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
    """Print what the models say of the pictures; return 1 if one of them cannot be read, else 0.

    Args:
        framed: whether to frame the pictures; None for as the training pictures were. Models that
            do not say it are taken for trained on the same pictures as those in `MODELS`.

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
        raise InputError(f"--show is {show}; name a .png file that is none of the pictures")
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
        unlike = "unlike anything it knows" if answer.max() < notes.get("threshold", 0) else ""
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
    of_models = "a .keras file, a training's folder such as models/vgg/study, or a folder of models"
    parser.add_argument("--model", type=Path, default=MODELS, help=f"{of_models}; else {MODELS}")
    parser.add_argument("--show", type=Path, metavar="PNG", help="picture of what the network sees")
    framing = "trim pictures to their object, or not; else as the training pictures were"
    parser.add_argument(
        "--framing", dest="framed", action=argparse.BooleanOptionalAction, help=framing
    )
    sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may be no text
    for ending in (signal.SIGPIPE, signal.SIGINT):  # without a traceback: `... | head`, Ctrl-C
        signal.signal(ending, signal.SIG_DFL)
    try:
        sys.exit(main(**vars(parser.parse_args())))
    except InputError as error:
        sys.exit(f"predict: error: {error}")
