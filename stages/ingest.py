"""Bring the images in from outside, checked, in one form whatever they came from.

Reads the four IDX files of Fashion-MNIST, or a pair of CSV tables, or scikit-learn's digits.
Writes `data/raw/`: images uint8 (n, 28, 28) and labels uint8 (n,), for train and test.
"""

from pathlib import Path

import numpy as np

from stages import params
from stages.cli import InputError, run
from stages.common import download, images
from stages.common.files import atomic_folder
from stages.common.images import ImageSet
from stages.sources import csv_images, idx

OUTPUT = "data/raw"

# The first home is Keras's copy and the second is the makers' own, named in the README of
# zalandoresearch/fashion-mnist, where the MD5 sums of the same four files stand.
HOMES = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
)
SHA256 = {
    "train-images-idx3": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


def fashion_mnist(split: str) -> ImageSet:
    """The official files of today, 60,000 training and 10,000 test images."""
    prefix, rows = {"train": ("train", 60_000), "test": ("t10k", 10_000)}[split]

    def read(kind: str, shape: tuple[int, ...]) -> np.ndarray:
        name = f"{prefix}-{kind}"
        file = download.OutsideFile(f"{name}-ubyte.gz", f"sha256:{SHA256[name]}")
        return idx.read(download.fetch((file,), HOMES), shape)

    return ImageSet(
        images=read("images-idx3", (rows, images.SIDE, images.SIDE)),
        labels=read("labels-idx1", (rows,)),
    )


def digits(split: str) -> ImageSet:
    """scikit-learn's 1,797 digits: 8x8 with values 0-16, as 28x28 with values 0-255.

    Every pixel becomes 3x3, and a black frame of two pixels makes 28 of 24. A fifth is for testing,
    always the same one: the split belongs to the data set, as in Fashion-MNIST.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    bunch = load_digits()
    large = np.pad(np.kron(bunch.images, np.ones((3, 3))), ((0, 0), (2, 2), (2, 2)))
    bright = np.rint(large * (255 / 16)).astype(np.uint8)
    labels = bunch.target.astype(np.uint8)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=0
    )
    rows = {"train": train, "test": test}[split]
    return ImageSet(images=bright[rows], labels=labels[rows])


def check_classes(split: str, images_of_split: ImageSet) -> None:
    """Raise an `InputError` unless every one of the ten labels occurs."""
    counts = np.bincount(images_of_split.labels, minlength=images.CLASSES)
    if not counts.all():
        missing = ", ".join(str(label) for label in np.flatnonzero(counts == 0))
        raise InputError(
            f"the {split} set has no image of label {missing}; all of 0 to 9 are needed: "
            "add images of it, or take another data.source in params.yaml"
        )


def main() -> None:
    data = params.load().data
    read = {
        "fashion_mnist": fashion_mnist,
        "csv": lambda split: csv_images.read(Path(getattr(data.csv, split))),
        "digits": digits,
    }[data.source]
    with atomic_folder(OUTPUT) as folder:
        for split in images.SPLITS:
            image_set = read(split)
            check_classes(split, image_set)
            image_set.save(folder, split)
            print(f"ingest: {len(image_set):,} {split} images from {data.source}", flush=True)


if __name__ == "__main__":
    run(main)
