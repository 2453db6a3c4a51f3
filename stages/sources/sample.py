"""A small sample of Fashion-MNIST in Git, so that nothing has to be downloaded.

`data/sample/README.md` has its origin and licence.
"""

from pathlib import Path

import numpy as np

from stages.base.images import ImageSet
from stages.cli import InputError
from stages.sources import download, fashion_mnist

PATH = Path("data/sample/fashion_mnist.npz")
SUM = "sha256:61f1a8fe9261704db8baf04998212b0367fe6a5013e56d8a0ce25bfc2ad53f23"


def read(split: str) -> ImageSet:
    """The images of "train" (2,000) or "test" (500).

    Raises:
        InputError: the file is missing or has another checksum.
    """
    way_out = f"`git checkout -- {PATH}` restores it"
    if not PATH.is_file():
        raise InputError(f"{PATH} is missing; {way_out}")
    download.check(PATH, SUM, remedy=way_out)
    with np.load(PATH, allow_pickle=False) as arrays:
        return ImageSet(
            images=arrays[f"{split}_images"],
            labels=arrays[f"{split}_labels"],
            classes=fashion_mnist.CLASSES,
        )
