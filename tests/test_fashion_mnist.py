"""The published Fashion-MNIST through `ingest`; skipped without a mirror.

The numbers are published ones: the counts in the data set's paper, the mean as its users quote it.
"""

import numpy as np
import pytest

from stages.base import images

COUNTS = {"train": 60_000, "test": 10_000}


@pytest.mark.parametrize("split", images.SPLITS)
def test_classes_are_balanced(fashion_mnist, split):
    raw = images.load(fashion_mnist / "data/raw", split)
    assert raw.images.shape == (COUNTS[split], 28, 28)
    assert raw.images.dtype == raw.labels.dtype == np.uint8
    assert np.bincount(raw.labels).tolist() == [COUNTS[split] // 10] * 10


def test_the_mean_is_the_published_one(fashion_mnist):
    pixels = images.load(fashion_mnist / "data/raw", "train").images
    assert pixels.mean() == pytest.approx(0.2860405969887955 * 255, rel=1e-12)
