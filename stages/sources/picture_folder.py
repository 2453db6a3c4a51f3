"""Your own pictures: FOLDER/train/CLASS/* and FOLDER/test/CLASS/*.

Keras's `image_dataset_from_directory` takes the same form. The classes are the folders of train,
sorted by name; files whose names begin with a dot are ignored.

`data.folder` in `params.yaml` always names an existing folder, the sample's by default, because it
is a dep of `ingest`: DVC runs the stage again when a picture is changed, added or removed.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from stages.base.images import SPLITS, ImageSet
from stages.cli import InputError
from stages.sources import pictures

FORM = "data.folder in params.yaml must name a folder with train/CLASS/* and test/CLASS/*"


def read(folder: Path, split: str, framed: bool) -> ImageSet:
    """The pictures of "train" or "test", each as `pictures.prepare` makes it, in a random order.

    The order is always the same for the same pictures. It is random because trainings validate on
    the last part of the images, which must not be of the last classes alone.

    Raises:
        InputError: a folder is missing, a class has pictures in one of train and test only, there
            are fewer than 2 classes or more than 100, or a file is not a picture.
    """
    files = {each: _files(folder / each) for each in SPLITS}
    in_train, in_test = ({path.parent.name for path in files[each]} for each in SPLITS)
    classes = sorted(in_train)
    if not 2 <= len(classes) <= 100:
        raise InputError(f"{folder}/train has {len(classes)} classes, not 2 to 100; {FORM}")
    if in_one := sorted(in_train ^ in_test):
        raise InputError(
            f"{folder} has pictures of the class {in_one[0]!r} in only one of train and test; add "
            "some to the other, or remove the class"
        )
    progress = tqdm(files[split], desc=split, unit="picture", disable=None, ncols=80)
    images = np.stack([pictures.read(path, framed) for path in progress])
    labels = np.array([classes.index(path.parent.name) for path in files[split]], np.uint8)
    rows = np.random.RandomState(0).permutation(len(labels))  # unlike default_rng's, it stays so
    return ImageSet(images[rows], labels[rows], tuple(classes))


def _files(folder: Path) -> list[Path]:
    """The files in the class folders, by class and name."""
    for path in sorted(folder.glob("[!.]*")):
        if not path.is_dir():
            raise InputError(f"{path} is not a class folder; move it into one, or out of {folder}")
        if not path.name.isprintable():
            raise InputError(f"{str(path)!r} has a name that cannot be printed; rename it")
    return sorted(folder.glob("[!.]*/[!.]*"))
