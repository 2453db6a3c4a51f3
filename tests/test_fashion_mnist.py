"""The published Fashion-MNIST through `ingest`; skipped without a mirror.

The numbers are published ones: the counts in the data set's paper, the mean as its users quote it.
"""

import numpy as np
import pytest

from stages.base import images

COUNTS = {"train": 60_000, "test": 10_000}


def test_classes_are_balanced_and_the_mean_is_the_published_one(fashion_mnist):
    raw = {split: images.load(fashion_mnist / "data/raw", split) for split in images.SPLITS}
    for split, count in COUNTS.items():
        assert raw[split].images.shape == (count, 28, 28)
        assert np.bincount(raw[split].labels).tolist() == [count // 10] * 10
    assert raw["train"].images.mean() == pytest.approx(0.2860405969887955 * 255, rel=1e-12)
