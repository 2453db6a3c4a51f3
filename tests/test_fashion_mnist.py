"""The published Fashion-MNIST through `ingest`, `clean` and `encode`; skipped without a mirror.

The numbers are published ones: the counts in the data set's paper, mean and standard deviation as
its users quote them.
"""

import time

import numpy as np
import pytest

from stages import eda
from stages.base import images
from stages.base.files import read_json

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


def test_nothing_is_missing_or_repeated(fashion_mnist):
    metrics = read_json(fashion_mnist / "metrics/clean.json")
    assert metrics == {
        "nulls": 0,
        "repeated_rows": 0,
        "dropped_rows": 0,
        "rows": 60_000,
        "repeated_rows_left": 0,
        "test_rows": 10_000,
        "test_repeated_rows": 0,
        "train_rows_in_test": 0,
        **{f"label_{label}": 6_000 for label in range(10)},
    }


@pytest.mark.parametrize("split", images.SPLITS)
def test_encoded_is_raw_in_another_form(fashion_mnist, split):
    raw = images.load(fashion_mnist / "data/raw", split)
    folder = fashion_mnist / "data/encoded" / split
    x, y = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("images", "labels"))
    assert isinstance(x, np.memmap)
    assert x.dtype == y.dtype == np.float32
    assert x.shape == (COUNTS[split], 28, 28, 1)
    assert y.shape == (COUNTS[split], 10)
    assert (x.min(), x.max()) == (0, 1)
    np.testing.assert_array_equal(x[::97, ..., 0], raw.images[::97] / np.float32(255))
    np.testing.assert_array_equal(y, np.eye(10)[raw.labels])


def test_all_of_eda_takes_less_than_thirty_seconds(fashion_mnist, monkeypatch):
    """Of this process's own time, so that a busy machine does not count."""
    monkeypatch.chdir(fashion_mnist)
    started = time.process_time()
    eda.main()
    assert time.process_time() - started < 30
    sizes = [path.stat().st_size for path in (fashion_mnist / "plots/eda").iterdir()]
    assert sum(sizes) < 1_500_000
