"""`stages/encode.py`: the scale, the one-hot labels, and that they can be memory-mapped."""

import numpy as np
import pytest

from stages import encode
from stages.base import images
from tests.helpers import random_image_set


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_encodes_both_splits(project, classes):
    (project / "data/clean").mkdir(parents=True)
    names = tuple(f"class {label}" for label in range(classes))
    sets = {"train": random_image_set(140, 1, names), "test": random_image_set(120, 2, names)}
    for split, image_set in sets.items():
        image_set.save(project / "data/clean", split)
    encode.main()

    for split, image_set in sets.items():
        x = np.load(f"data/encoded/{split}/images.npy", mmap_mode="r")
        y = np.load(f"data/encoded/{split}/labels.npy", mmap_mode="r")
        assert isinstance(x, np.memmap)
        assert x.dtype == y.dtype == np.float32
        assert x.shape == (len(image_set), images.SIDE, images.SIDE, 1)
        np.testing.assert_array_equal(x[..., 0], image_set.images / np.float32(255))
        np.testing.assert_array_equal(y, np.eye(classes)[image_set.labels])
        assert images.load_classes(f"data/encoded/{split}") == names
