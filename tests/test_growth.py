"""`benchmarks/growth.py`: what grows with the images, and what must not."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import growth
from stages.sources import idx
from tests.helpers import random_image_set


def test_a_copy_of_the_data_set_is_told_as_one():
    mib = 28 * 28 * 4 / 2**20  # of a float32 image
    sizes = {
        str(times): {
            "images": 1000 * times,
            "stages": {"encode": {"peak_mib": 500 + 1000 * times * mib, "cpu_seconds": times}},
        }
        for times in (1, 4, 16)
    }
    assert growth.held(sizes, "encode") == pytest.approx(1)
    assert "| `encode` | 503, 512, 548 | 1.0 | 1.0, 4.0, 16.0 |" in growth.table(sizes)


def test_what_is_written_as_idx_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    images = random_image_set(20).images
    path = Path(growth.write_idx(Path("images"), images)["path"])
    np.testing.assert_array_equal(idx.read_array(path, (None, 28, 28)), images)
