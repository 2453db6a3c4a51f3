"""The published Fashion-MNIST through `ingest`, `clean` and `encode`; skipped without a mirror.

The numbers are published ones: the counts in the data set's paper, mean and standard deviation as
its users quote them.
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


def test_mean_and_standard_deviation(fashion_mnist):
    pixels = images.load(fashion_mnist / "data/raw", "train").images
    assert pixels.mean() == pytest.approx(0.2860405969887955 * 255, rel=1e-12)
    # In whole numbers, for the exact sum and without a copy of all pixels in floating point.
    counts = np.bincount(pixels.reshape(-1), minlength=256)
    variance = np.average((np.arange(256) - pixels.mean()) ** 2, weights=counts)
    assert np.sqrt(variance) == pytest.approx(0.35302424451492254 * 255, rel=1e-12)
