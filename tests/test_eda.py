"""`stages/eda.py`: the figures of the study, and the tables for `dvc plots`."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages import eda, params
from stages.base.classes import class_names
from stages.base.images import ImageSet
from tests.project import ROOT

NAMES = class_names(params.load(ROOT / "params.yaml").data)
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


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageSet, list[dict[str, bytes]]]:
    """A small image set with a black frame, and what two runs over it wrote."""
    root = tmp_path_factory.mktemp("eda")
    (root / "data/clean").mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", root)
    labels = np.repeat(np.arange(10, dtype=np.uint8), PER_CLASS)
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
    pixels[:, [0, -1], :] = pixels[:, :, [0, -1]] = 0
    image_set = ImageSet(pixels, labels, NAMES)
    image_set.save(root / "data/clean", "train")
    runs = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for _ in range(2):
            eda.main()
            runs.append(contents(root / eda.OUTPUT))
    return image_set, runs


def read(content: bytes, tmp_path: Path) -> pd.DataFrame:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    return pd.read_csv(path)


def test_every_figure_and_table_is_written(written):
    _, (files, _) = written
    assert files.keys() == FIGURES | TABLES
    assert all(files[name].startswith(b"\x89PNG") for name in FIGURES)


def test_a_second_run_gives_the_same_bytes(written):
    _, (first, second) = written
    assert [name for name in first if first[name] != second[name]] == []


def test_class_balance_counts_the_images_of_each_class(written, tmp_path):
    _, (files, _) = written
    table = read(files["class_balance.csv"], tmp_path)
    assert list(table["class"]) == list(NAMES)
    assert list(table["count"]) == PER_CLASS


def test_pixel_histograms_count_the_pixels_of_each_bin(written, tmp_path):
    image_set, (files, _) = written
    table = read(files["pixel_histograms.csv"], tmp_path)
    chosen = {"all": image_set.images, NAMES[8]: image_set.images[image_set.labels == 8]}
    for name, pixels in chosen.items():
        rows = table[table["class"] == name]
        edges = [*rows["value"], 256]
        assert edges[0] == 0
        assert list(rows["count"]) == list(np.histogram(pixels, edges)[0])


def test_correlation_is_pearsons_and_nan_only_where_a_pixel_is_constant(written):
    image_set, _ = written
    pixels = image_set.images.reshape(len(image_set), -1)
    with np.errstate(all="raise"):
        correlation = eda.correlate(pixels)
    varies = pixels.std(axis=0) > 0
    assert varies.sum() == 26 * 26
    assert np.isnan(correlation[~varies]).all()
    expected = np.corrcoef(pixels[:, varies].astype(float), rowvar=False)
    np.testing.assert_allclose(correlation[np.ix_(varies, varies)], expected, atol=1e-12)


@pytest.mark.parametrize(
    ("per_class", "words"),
    [
        ([6000] * 10, "6,000 each (balanced)"),
        ([5991] * 9 + [5998], "5,991 to 5,998 each (nearly balanced)"),
        (PER_CLASS, "1 to 10 each (not balanced)"),
    ],
)
def test_balance_in_words(per_class, words):
    assert eda.balance(np.array(per_class)) == words
