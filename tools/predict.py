"""Name the three likeliest classes of pictures, by models that this project trained.

Files are answered in a line each. A folder, or --output, makes it a CSV table. What cannot be read
is left out and listed at the end, and the exit status is then 1. DVC does not run this: it is no
stage.
"""

import argparse
import csv
import errno
import json
import logging
import math
import os
import signal
import sys
import textwrap
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from stages import params
from stages.base.classes import class_names
from stages.base.files import atomic_file, read_json
from stages.base.images import CLASSES, SIDE
from stages.cli import InputError
from stages.params import BACKBONE_OF, Params

if TYPE_CHECKING:
    from stages.training.keras_setup import keras

MODELS = Path("models/exported")
CALIBRATION = "calibration.json"
BATCH = 256
TOP = 3
COLUMNS = [
    "file",
    *(f"{what}_{place}" for place in range(1, TOP + 1) for what in ("class", "probability")),
    "warning",
]
NO_OBJECT = "no object on it"
UNLIKE = "unlike anything it knows"
# The data set's makers trimmed what is within 5 % of the background (arXiv:1708.07747, section 2).
TOLERANCE = 0.05 * 255
# Pillow knows more. For EPS it would start Ghostscript, and some it can only tell the name of.
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
LARGEST_UNPACKED = 50  # times the size of a model's file, in which this project packs nothing
NO_TEXT = "backslashreplace"  # how a file's name is written that is none, as in error messages
LARGEST_SCALE, LARGEST_SHEET, GAP = 10, 2_000, 4  # of what --show writes; the latter in pixels


@dataclass(frozen=True)
class Calibration:
    """How to read a model's probabilities; `stages/compare.py` finds both on validation images.

    temperature: that of one fold, by which each model's logits are divided before the mean.
    threshold: a largest probability below it is a sign of a picture unlike all others.
    """

    temperature: float = 1.0
    threshold: float = 0.0


@dataclass(frozen=True)
class Answer:
    """The likeliest classes of the picture in `file` with their probabilities, the first first."""

    file: Path
    guesses: list[tuple[str, float]]
    warning: str


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
        uint8 array (28, 28); black if it has no object.

    Raises:
        ValueError: its pixels are floating-point numbers, or of a kind that has no grey.
    """
    grey = _grey(picture)
    pixels = np.asarray(grey)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    background = int(np.median(border))
    if grey.size == (SIDE, SIDE):
        return 255 - pixels if background > 127 else pixels
    # On a light background this inverts, and it leaves one of 0 whatever it was.
    distance = ImageChops.difference(grey, Image.new("L", grey.size, background))
    box = distance.point(lambda value: value > TOLERANCE).getbbox()
    if box is None:
        return np.zeros((SIDE, SIDE), np.uint8)
    cut = distance.crop(box)
    size = [max(1, round(side * SIDE / max(cut.size))) for side in cut.size]  # a thread stays
    centred = Image.new("L", (SIDE, SIDE))
    corner = [round((SIDE - side) / 2) for side in size]
    centred.paste(cut.resize(size, Image.Resampling.LANCZOS), corner)
    return np.asarray(centred)


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


def has_object(prepared: np.ndarray) -> bool:
    """Whether the network is shown more than one shade."""
    return bool(np.ptp(prepared) > TOLERANCE)


def read(path: Path) -> np.ndarray:
    """The picture in the file `path`, prepared: uint8 (28, 28).

    Raises:
        InputError: it is missing, no picture, damaged or too large.
    """
    # A pipe would be waited for. Unlike Path's, these functions pass over a name that cannot be.
    if os.path.exists(path) and not os.path.isfile(path):
        raise InputError(f"{path} is no ordinary file; leave it out")
    try:
        with warnings.catch_warnings():
            # Pillow warns of much that leaves the pixels whole, such as damaged EXIF data.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                picture.load()
                upright = ImageOps.exif_transpose(picture)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; correct its name") from None
    except PermissionError:
        raise InputError(f"{path} may not be read by you; change that, or leave it out") from None
    except UnidentifiedImageError:
        raise InputError(
            f"{path} is no picture of a kind known here ({', '.join(FORMATS)}); leave it out"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise InputError(
            f"{path} has more than {Image.MAX_IMAGE_PIXELS:,} pixels; make it smaller"
        ) from None
    except Exception as error:  # damaged files have made Pillow raise nearly everything
        raise InputError(f"{path} cannot be read ({_short(error)}); get a whole one") from None
    try:
        return prepare(upright)
    except ValueError as error:
        raise InputError(f"{path}: {error}; save it anew as PNG") from None


def read_all(paths: list[Path]) -> tuple[list[Path], list[np.ndarray], list[str]]:
    """Read all pictures; a folder stands for those in it.

    Returns:
        The files that are pictures, what is on each, prepared, and what is wrong with the others.
    """
    files, wrong = [], []
    for path in paths:
        try:
            files += files_of(path)
        except InputError as error:
            wrong.append(str(error))
    good, images = [], []
    for file in _bar(files, "picture"):
        try:
            images.append(read(file))
            good.append(file)
        except InputError as error:
            wrong.append(str(error))
    return good, images, wrong


def files_of(path: Path) -> list[Path]:
    """The file `path`; or the files with a picture's suffix in the folder `path`, by name.

    Raises:
        InputError: the folder has none, or may not be read.
    """
    if not os.path.isdir(path):
        return [path]
    formats = Image.registered_extensions()
    try:
        found = sorted(
            file
            for file in path.iterdir()
            if formats.get(file.suffix.lower()) in FORMATS and not file.is_dir()
        )
    except OSError as error:
        raise InputError(f"{path} cannot be read ({_short(error)}); name another folder") from None
    if not found:
        raise InputError(f"{path} is a folder without pictures; name another one")
    return found


def model_files(path: Path, settings: Params) -> list[Path]:
    """The model `path`; or that of a training in the folder `path`; or all models in it, by name.

    Of the exported ones those of the folds that the params have: DVC leaves others where they are.

    Raises:
        InputError: there is none, or an exported one is missing.
    """
    if os.path.isdir(path) and os.path.relpath(path) == str(MODELS):
        found = [path / f"{fold}.keras" for fold in settings.cv.folds]
        for file in found:
            if not file.exists():
                raise InputError(f"{file} is missing; {_way_to(file, settings)}")
        return found
    if not os.path.isdir(path):
        found, lack = [path], "is missing"
    elif (path / "model.keras").exists():
        return [path / "model.keras"]
    else:
        # What begins with a dot is not finished.
        found = sorted(file for file in path.glob("*.keras") if not file.name.startswith("."))
        lack = "has no .keras file in it"
    if not any(map(os.path.exists, found)):
        raise InputError(f"{path} {lack}; {_way_to(path, settings)}")
    return found


def _way_to(path: Path, settings: Params) -> str:
    """How to come by a model that is not there."""
    trainings = {
        f"models/lenet/{recipe}-{fold}": f"cv_lenet@{recipe}-{fold}"
        for recipe in settings.lenet
        for fold in settings.cv.folds
    }
    for head in BACKBONE_OF:
        for recipe in getattr(settings, head):
            trainings[f"models/{head}/{recipe}"] = f"{head}@{recipe}"
    folder = os.path.relpath(path.parent if path.suffix == ".keras" else path)
    if stage := trainings.get(folder):
        return (
            f"`dvc pull {folder}` fetches it from a remote that has it; `dvc repro {stage}` trains "
            "it, which takes long"
        )
    exported = [str(MODELS), *(f"{MODELS}/{fold}.keras" for fold in settings.cv.folds)]
    if os.path.relpath(path) in exported:
        return (
            f"`git restore {MODELS}` brings back what Git has; `dvc repro export` makes it of "
            "LeNet-5's folds and trains those that are missing, which takes long"
        )
    return f"correct its name, as in {next(iter(trainings))}"


def check_model(path: Path) -> None:
    """Look into the file of a Keras model, which takes no Keras.

    Keras is told to run no code from a file too. This says so sooner, and in one line.

    Raises:
        InputError: it is no such file, or has more in it than Keras's own layers.
    """
    if path.suffix != ".keras" or not os.path.isfile(path) or not zipfile.is_zipfile(path):
        raise InputError(f"{path} is no Keras model; name a .keras file that this project wrote")
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
            if small_enough := unpacked <= LARGEST_UNPACKED * path.stat().st_size:
                config = json.loads(archive.read("config.json"))
    except Exception as error:  # a damaged archive makes its readers raise nearly everything
        raise InputError(f"{path} is damaged ({_short(error)}); name another model") from None
    if not small_enough:
        raise InputError(
            f"{path} unpacks to {unpacked / 1e6:,.0f} MB, over {LARGEST_UNPACKED} times its size, "
            "which no model of this project does; name another one"
        )
    if found := next(_foreign(config), None):
        raise InputError(
            f"{path} has {found} in it, which is the code of whoever wrote it and not run here; "
            "name a model that this project wrote"
        )


def _foreign(config: Any) -> Iterator[str]:
    """Name what in the configuration of a model is not Keras's own."""
    waiting = [config]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += item.values()
            name, module = (str(item.get(key)) for key in ("class_name", "module"))
            if name in ("Lambda", "__lambda__"):
                yield "a Lambda layer"
            # With underscores are Keras's tensors and slices, which have no module.
            elif "class_name" in item and not (
                module == "keras"
                or module.startswith("keras.")
                or (name.startswith("__") and item.get("module") is None)
            ):
                yield f"the custom object {textwrap.shorten(name, 40)!r}"
        elif isinstance(item, list):
            waiting += item


def load_model(path: Path) -> "keras.Model":
    """Load a model that takes raw images (n, 28, 28), 0-255, and gives probabilities (n, 10).

    Raises:
        InputError: it is another one, or none.
    """
    # Keras takes many seconds to import, which nobody should wait for to hear of a wrong name.
    from stages.training.keras_setup import keras

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except MemoryError:
        raise
    except Exception as error:  # as a damaged picture does
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


def calibration_of(folder: Path) -> Path:
    """The file that says how to read the models in `folder`: beside them, or its evaluation's."""
    if os.path.relpath(folder.parent.parent) == "models":
        return Path("metrics") / folder.parent.name / folder.name / "metrics.json"
    return folder / CALIBRATION


def load_calibration(path: Path) -> Calibration:
    """What `compare` or an evaluation wrote; without the file probabilities stay as they are.

    An evaluation gives no threshold: none is too small.

    Raises:
        InputError: it is damaged.
    """
    if not path.exists():
        return Calibration()
    content = read_json(path)
    try:
        threshold = content["threshold"] if path.name == CALIBRATION else 0
        found = Calibration(float(content["temperature"]), float(threshold))
        if not (0 < found.temperature < math.inf and 0 <= found.threshold <= 1):
            raise ValueError(content)
    except (KeyError, OverflowError, TypeError, ValueError):
        raise InputError(
            f"{path} gives no temperature above 0 and threshold in 0-1; `git restore {path}` "
            "brings it back, or `dvc repro` writes it"
        ) from None
    return found


def _short(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return textwrap.shorten(text, 150) or type(error).__name__


def predict(models: list[Path], images: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """The mean over the models of the probabilities (n, 10) of the images (n, 28, 28), 0-255.

    The temperature comes before the mean, because it was found for single folds: no image is a
    validation image of all of them, to find the mean's with.

    Raises:
        InputError: a model is none of this project's.
    """
    return np.mean([_by_one(path, images, temperature) for path in models], axis=0)


def _by_one(path: Path, images: np.ndarray, temperature: float) -> np.ndarray:
    model = load_model(path)
    # It imports much that Keras does too, and nothing else here needs.
    from stages.results.evaluation import Predictions

    starts = range(0, len(images), BATCH)
    try:
        batches = [
            model.predict_on_batch(images[start : start + BATCH]) for start in _bar(starts, "batch")
        ]
        found = np.concatenate(batches)
        # One without softmax, or damaged. In half precision the sum is off by a few thousandths.
        usable = np.all(found >= 0) and np.allclose(found.sum(axis=1), 1, atol=0.01)
    except MemoryError:
        raise
    except Exception as error:  # somebody else's layers may take no such images after all
        advice = "name another model"
        # PyTorch cannot slice backwards, as these models do for the mirror image.
        if os.environ.get("KERAS_BACKEND") == "torch":
            advice += ", or let KERAS_BACKEND be tensorflow or jax"
        raise InputError(f"{path} gives no answer ({_short(error)}); {advice}") from None
    if not usable:
        raise InputError(f"{path} gives numbers that are no probabilities; name another model")
    if temperature == 1:
        return found
    return Predictions(found, np.empty(0)).at(temperature).probabilities


def _bar(items: Sequence, unit: str) -> Iterable:
    """A progress bar, on a terminal and if it takes more than two seconds."""
    return tqdm(items, unit=unit, disable=None, delay=2)


def answers(
    files: list[Path],
    images: np.ndarray,
    probabilities: np.ndarray,
    names: Sequence[str],
    threshold: float,
) -> list[Answer]:
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    found = []
    for file, image, row, labels in zip(files, images, probabilities, best, strict=True):
        unlike = UNLIKE if row.max() < threshold else ""
        warning = unlike if has_object(image) else NO_OBJECT
        found.append(Answer(file, [(names[label], row[label]) for label in labels], warning))
    return found


def line(answer: Answer) -> str:
    guesses = ", ".join(f"{name} {100 * p:.1f} %" for name, p in answer.guesses)
    warning = f"; warning: {answer.warning}" if answer.warning else ""
    return f"{answer.file}: {guesses}{warning}"


def write_table(found: list[Answer], stream: TextIO) -> None:
    """Write the columns `COLUMNS`, and a row for each picture."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for answer in found:
        guesses = [cell for name, p in answer.guesses for cell in (name, f"{p:.6f}")]
        writer.writerow([answer.file, *guesses, answer.warning])


def sheet(images: Sequence[np.ndarray]) -> Image.Image:
    """The images (28, 28), enlarged, row by row on a grey ground."""
    columns = math.ceil(math.sqrt(len(images)))
    scale = min(max(LARGEST_SHEET // (columns * SIDE), 1), LARGEST_SCALE)
    cell = SIDE * scale + GAP
    height, width = (GAP + cell * count for count in (math.ceil(len(images) / columns), columns))
    pixels = np.full((height, width), 128, np.uint8)
    for number, image in enumerate(images):
        top, left = (GAP + cell * place for place in divmod(number, columns))
        enlarged = np.kron(image, np.ones((scale, scale), np.uint8))
        pixels[top : top + SIDE * scale, left : left + SIDE * scale] = enlarged
    return Image.fromarray(pixels)


@contextmanager
def _written(path: Path) -> Iterator[Path]:
    try:
        with atomic_file(path) as unfinished:
            yield unfinished
    except OSError as error:
        raise InputError(
            f"{path} cannot be written ({error.strerror}); name another file"
        ) from None


def main(
    paths: list[Path], model: Path = MODELS, output: Path | None = None, show: Path | None = None
) -> None:
    """Print what the models say of the pictures, or write it to `output`.

    Args:
        model: what `model_files` takes.
        show: where to write the pictures as the network sees them.

    Raises:
        InputError: the model, `output` or `show` cannot be used, or no picture can. Also, once the
            others are answered, a line for each that cannot.
    """
    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # it logs some of what it then raises
    settings = params.load()
    if output and output.suffix != ".csv":
        raise InputError(f"--output is {output}, where a table is written; end its name in .csv")
    if show and show.suffix != ".png":
        raise InputError(f"--show is {show}, where a picture is written; end its name in .png")
    models = model_files(model, settings)
    for path in models:
        check_model(path)
    calibration = load_calibration(calibration_of(models[0].parent))
    files, read_images, wrong = read_all(paths)
    if show and show.resolve() in [file.resolve() for file in files]:
        raise InputError(f"--show is {show}, one of the pictures; name another file")
    if not files:
        raise InputError("\n".join(wrong))

    images = np.stack(read_images)
    probabilities = predict(models, images, calibration.temperature)
    names = class_names(settings.data)
    found = answers(files, images, probabilities, names, calibration.threshold)
    if show:
        with _written(show) as unfinished:
            sheet(images).save(unfinished)
    if output:
        with (
            _written(output) as unfinished,
            unfinished.open("w", encoding="utf-8", errors=NO_TEXT) as stream,
        ):
            write_table(found, stream)
        print(f"predict: {len(found):,} pictures, {output}")
    elif any(map(os.path.isdir, paths)):
        write_table(found, sys.stdout)
    else:
        for answer in found:
            print(line(answer))
    if wrong:
        sys.stdout.flush()  # so that the answers come first where both go to one file
        raise InputError("\n".join(wrong))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.predict", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, metavar="IMAGE", help="a file or a folder")
    parser.add_argument(
        "--model",
        type=Path,
        default=MODELS,
        help="a .keras file, the folder of a training such as models/vgg/study, or a folder of "
        f".keras files, which answer with their mean; default: {MODELS}",
    )
    parser.add_argument("--output", type=Path, metavar="CSV", help="where the table goes")
    parser.add_argument(
        "--show", type=Path, metavar="PNG", help="where the pictures go as the network sees them"
    )
    sys.stdout.reconfigure(errors=NO_TEXT)
    try:
        main(**vars(parser.parse_args()))
        sys.stdout.flush()
    except InputError as error:
        sys.exit("\n".join(f"predict: error: {each}" for each in str(error).splitlines()))
    except MemoryError:
        sys.exit("predict: error: not enough memory; end other programs, or name fewer pictures")
    except KeyboardInterrupt:
        print("predict: interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # whoever read along has enough, as in `... | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for Python's last flush
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(f"predict: error: the answer cannot be written ({error.strerror}); make room")
