"""`stages/encode.py`: the scale, the one-hot labels, and that they can be memory-mapped."""

import numpy as np
import pytest

from stages import encode
from stages.base import images
from tests.helpers import contents, random_image_set, traced_memory


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

    first = contents(project / "data/encoded")
    encode.main()
    assert contents(project / "data/encoded") == first


def test_the_training_set_is_in_memory_once(project):
    (project / "data/clean").mkdir(parents=True)
    for split, rows in (("train", 3_000), ("test", 10)):
        random_image_set(rows).save(project / "data/clean", split)
    with traced_memory() as taken:
        encode.main()
    once = 3_000 * images.SIDE**2 * 4
    assert taken.peak < 1.5 * once, "with the bytes that it came from"
