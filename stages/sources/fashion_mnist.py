"""The official files of Fashion-MNIST as they are today: 60,000 training and 10,000 test images."""

import numpy as np

from stages.base.images import SIDE, ImageSet
from stages.catalog import OutsideFile
from stages.sources import download, idx

# The first home is Keras's copy, the second the makers' own bucket. Their README
# (zalandoresearch/fashion-mnist), which has the MD5 checksums of these four files, links the bucket
# by a name without https; this name has it.
HOMES = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com",
)
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
SHA256 = {
    "train-images-idx3": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


def read(split: str) -> ImageSet:
    """The images of "train" or "test".

    Raises:
        InputError: a file cannot be downloaded, or has another checksum.
    """
    prefix, rows = {"train": ("train", 60_000), "test": ("t10k", 10_000)}[split]

    def read_array(kind: str, shape: tuple[int, ...]) -> np.ndarray:
        name = f"{prefix}-{kind}"
        file = OutsideFile(f"{name}-ubyte.gz", f"sha256:{SHA256[name]}")
        return idx.read_array(download.fetch([file], HOMES), shape)

    return ImageSet(
        images=read_array("images-idx3", (rows, SIDE, SIDE)),
        labels=read_array("labels-idx1", (rows,)),
        classes=CLASSES,
    )
