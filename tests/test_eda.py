"""`stages/eda.py`: the figures of the study, and the tables for `dvc plots`."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages import eda
from stages.base.images import ImageSet
from stages.sources.fashion_mnist import CLASSES as NAMES
from tests.helpers import contents, random_image_set
from tests.project import ROOT

PER_CLASS = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
FIGURES = {
    "pixel_histograms.png",
    "single_pixel_histograms.png",
    "box_plots.png",
    "samples.png",
    "correlation.png",
    "class_balance.png",
    "class_means.png",
}
TABLES = {"class_balance.csv", "pixel_histograms.csv"}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageSet, Path]:
    """A small image set with a black frame, and the folder that was written of it."""
    root = tmp_path_factory.mktemp("eda")
    (root / "data/clean").mkdir(parents=True)
    labels = np.repeat(np.arange(10, dtype=np.uint8), PER_CLASS)
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
    pixels[:, [0, -1], :] = pixels[:, :, [0, -1]] = 0
    image_set = ImageSet(pixels, labels, NAMES)
    image_set.save(root / "data/clean", "train")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        eda.main()
    return image_set, root / eda.OUTPUT


def test_class_balance_counts_the_images_of_each_class(written):
    table = pd.read_csv(written[1] / "class_balance.csv")
    assert list(table["class"]) == list(NAMES)
    assert list(table["count"]) == PER_CLASS


def test_pixel_histograms_count_the_pixels_of_each_bin(written):
    image_set, folder = written
    table = pd.read_csv(folder / "pixel_histograms.csv")
    chosen = {"all": image_set.images, NAMES[8]: image_set.images[image_set.labels == 8]}
    for name, pixels in chosen.items():
        rows = table[table["class"] == name]
        edges = [*rows["value"], 256]
        assert edges[0] == 0
        assert list(rows["count"]) == list(np.histogram(pixels, edges)[0])


@pytest.mark.parametrize("classes", [2, 100])
def test_any_number_of_classes_with_any_names(project, classes):
    """A $ is no formula; a name that no font has, or too long a one, still has its number."""
    odd = ("$1_$2", "\u30ab\u30e1\u30e9 \ue123", "long " * 20)
    names = (odd + tuple(f"class {label}" for label in range(100)))[:classes]
    Path("data/clean").mkdir(parents=True)
    random_image_set(2 * classes, classes=names).save(Path("data/clean"), "train")
    eda.main()
    assert contents(Path(eda.OUTPUT)).keys() == FIGURES | TABLES
    assert list(pd.read_csv("plots/eda/class_balance.csv")["class"]) == list(names)


def test_the_users_own_matplotlibrc_changes_nothing(tmp_path):
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nsavefig.dpi: 7\n")
    code = "from stages.results import figures; print(sorted(figures.mpl.rcParams.items()))"
    command = [sys.executable, "-c", code]
    settings = [
        subprocess.run(
            command, env=os.environ | more, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout
        for more in ({}, {"MATPLOTLIBRC": str(tmp_path)})
    ]
    assert settings[0] == settings[1]
