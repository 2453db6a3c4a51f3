"""`stages/eda.py`: the figures of the study, and the tables for `dvc plots`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages import eda
from stages.sources.fashion_mnist import CLASSES as NAMES
from tests.helpers import random_image_set, run_python


def test_tables_count_the_images_of_each_class_and_the_pixels_of_each_bin(project):
    (project / "data/clean").mkdir(parents=True)
    image_set = random_image_set(55)
    image_set.images[:, [0, -1], :] = 0  # pixels that are the same in all images
    image_set.save(project / "data/clean", "train")
    eda.main()
    table = pd.read_csv("plots/eda/class_balance.csv")
    assert list(table["class"]) == list(NAMES)
    assert list(table["count"]) == [6] * 5 + [5] * 5
    table = pd.read_csv("plots/eda/pixel_histograms.csv")
    chosen = {"(all)": image_set.images, NAMES[8]: image_set.images[image_set.labels == 8]}
    for name, pixels in chosen.items():
        rows = table[table["class"] == name]
        edges = [*rows["value"], 256]
        assert edges[0] == 0
        assert list(rows["count"]) == list(np.histogram(pixels, edges)[0])


@pytest.mark.parametrize("classes", [2, 40])
def test_any_number_of_classes_with_any_names(project, classes):
    """A $ is no formula; a name that no font has, or too long a one, still has its number."""
    odd = ("$1_$2", "\u30ab\u30e1\u30e9 \ue123", "long " * 20)
    names = (odd + tuple(f"class {label}" for label in range(classes)))[:classes]
    Path("data/clean").mkdir(parents=True)
    random_image_set(2 * classes, classes=names).save(Path("data/clean"), "train")
    eda.main()
    assert len(list(Path("plots/eda").glob("*.png"))) == 6
    assert list(pd.read_csv("plots/eda/class_balance.csv")["class"]) == list(names)


@pytest.mark.parametrize("module", ["eda", "compare", "report.__main__"])
def test_the_users_own_settings_of_matplotlib_change_nothing(tmp_path, module):
    """A notebook, too, sets a backend for what it starts, which is not installed here."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\nsavefig.dpi: 7\n")
    found = 'rcParams["text.usetex"], rcParams["savefig.dpi"]'
    code = f"import stages.{module}; from matplotlib import rcParams; print({found})"
    own = {"MATPLOTLIBRC": str(tmp_path), "MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    assert run_python(tmp_path, "-c", code, **own).stdout == "False 100\n"
