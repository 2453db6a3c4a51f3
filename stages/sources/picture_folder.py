"""One's own pictures: FOLDER/train/CLASS/* and FOLDER/test/CLASS/*.

Keras's `image_dataset_from_directory` takes the same form. The classes are the folders of train,
sorted by name; files whose names begin with a dot are passed over.

`data.folder` in `params.yaml` always names a folder that is there, the sample's by default, because
it is a dep of `ingest`: DVC runs the stage again when a picture in it changes, comes or goes.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from stages.base.images import SIDE, ImageSet
from stages.cli import InputError
from stages.sources import pictures

FORM = "data.folder in params.yaml must name a folder with train/CLASS/* and test/CLASS/*"


def read(folder: Path, split: str, framed: bool) -> ImageSet:
    """The pictures of "train" or "test", each as `pictures.prepare` makes it, in a random order.

    The order is always the same for the same pictures. It is random because trainings validate on
    the last part of the images, which must not be of the last classes alone.

    Raises:
        InputError: a folder is missing, a class has no picture or is in one of train and test
            only, there are fewer than 2 classes or more than 100, or a file is no picture.
    """
    classes = [path.name for path in _folders(folder / "train")]
    if not 2 <= len(classes) <= 100:
        raise InputError(f"{folder}/train has {len(classes)} classes, where 2 to 100 are possible")
    in_test = [path.name for path in _folders(folder / "test")]
    for name in sorted({*classes} ^ {*in_test}):
        has, lacks = ("train", "test") if name in classes else ("test", "train")
        raise InputError(f"{folder}/{has} has the class {name!r}, which {folder}/{lacks} lacks")
    files = [
        (path, label)
        for label, name in enumerate(classes)
        for path in _pictures(folder / split / name)
    ]
    rows = np.random.RandomState(0).permutation(len(files))  # unlike default_rng's, it stays so
    images, wrong = np.empty((len(files), SIDE, SIDE), np.uint8), []
    for place, row in enumerate(tqdm(rows, desc=split, unit="picture", disable=None, ncols=80)):
        try:
            images[place] = pictures.read(files[row][0], framed)
        except InputError as error:
            wrong.append(str(error))
    if wrong:
        more = f" (and {len(wrong) - 1:,} more files of {split})" if wrong[1:] else ""
        raise InputError(min(wrong) + more)
    labels = np.array([label for _, label in files], np.uint8)[rows]
    return ImageSet(images, labels, tuple(classes))


def _folders(path: Path) -> list[Path]:
    """The classes' folders in `path`, by name."""
    if not path.is_dir():
        raise InputError(f"{path} is missing, or is no folder; {FORM}")
    folders = _visible(path)
    for each in folders:
        if not each.is_dir():
            raise InputError(f"{each} is no folder of a class; move it into one, or elsewhere")
        if not each.name.isprintable():
            raise InputError(f"{str(each)!r} has a name that cannot be printed; rename it")
    return folders


def _pictures(folder: Path) -> list[Path]:
    files = _visible(folder)
    if not files:
        raise InputError(f"{folder} has no picture; put some there, or remove the class")
    return files


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
