"""`stages/encode.py`: the scale, the one-hot labels, and that they can be memory-mapped."""

import numpy as np

from stages import encode
from stages.base import images
from tests.helpers import contents, random_image_set, traced_memory


def test_encodes_both_splits(project):
    (project / "data/clean").mkdir(parents=True)
    sets = {"train": random_image_set(40, seed=1), "test": random_image_set(20, seed=2)}
    for split, image_set in sets.items():
        image_set.save(project / "data/clean", split)
    encode.main()

    for split, image_set in sets.items():
        x = np.load(f"data/encoded/{split}/images.npy", mmap_mode="r")
        y = np.load(f"data/encoded/{split}/labels.npy", mmap_mode="r")
        assert isinstance(x, np.memmap)
        assert x.dtype == y.dtype == np.float32
        assert x.shape == (len(image_set), images.SIDE, images.SIDE, 1)
        assert (x.min(), x.max()) == (0, 1)
        np.testing.assert_array_equal(np.rint(x[..., 0] * 255), image_set.images)
        np.testing.assert_array_equal(x[..., 0], image_set.images / np.float32(255))
        assert y.shape == (len(image_set), 10)
        np.testing.assert_array_equal(y.sum(axis=1), 1)
        np.testing.assert_array_equal(y.argmax(axis=1), image_set.labels)

    first = contents(project / "data/encoded")
    assert len(first) == 6
    encode.main()
    assert contents(project / "data/encoded") == first


def test_the_training_set_is_in_memory_once(project):
    (project / "data/clean").mkdir(parents=True)
    for split, rows in (("train", 3_000), ("test", 10)):
        random_image_set(rows).save(project / "data/clean", split)
    with traced_memory() as found:
        encode.main()
    once = 3_000 * images.SIDE**2 * 4
    assert found.peak < 1.5 * once, "with the bytes that it came from"
