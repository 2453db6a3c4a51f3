"""The whole pipeline, run small: what it writes, and that it repeats itself."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from stages import params
from stages.base import images
from stages.base.files import read_yaml
from stages.base.images import ImageSet
from stages.results import evaluation, runs
from stages.training.saving import load_model
from tests import project
from tests.repro import ran, repro

pytestmark = pytest.mark.slow


@pytest.fixture
def entered(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished demo, as the working folder."""
    monkeypatch.chdir(finished)
    return finished


@pytest.fixture
def pictures(entered: Path) -> ImageSet:
    return images.load("data/clean", "test")


def test_the_demo_runs_every_kind_of_stage_and_commits_the_run_on_main(finished):
    log = (finished.parent / "demo.log").read_text()
    stages = {name.partition("@")[0] for name in read_yaml(finished / "dvc.yaml")["stages"]}
    assert {name.partition("@")[0] for name in ran(log)} == stages
    assert project.git_output(finished, "branch", "--show-current") == "main\n"
    assert project.git_output(finished, "status", "--porcelain") == ""
    committed = project.git_output(finished, "ls-files").splitlines()
    written = ("metrics/compare.json", "plots/report.html", "models/exported/1.keras")
    assert {"dvc.lock", *written} <= set(committed)


def test_lenet_learns_from_the_sample(entered):
    for fold in (1, 2):
        assert evaluation.load("lenet", "study", fold).metrics["test_accuracy"] > 0.7


@pytest.mark.parametrize(
    ("folder", "network", "folds"),
    [
        ("lenet/study-1", "lenet", [1]),
        ("resnet/study", "resnet", [1]),
        ("vgg/study", "vgg", [1, 2]),
    ],
)
def test_a_saved_model_takes_raw_images_and_repeats_the_probabilities(
    pictures, folder, network, folds
):
    model = load_model(Path(f"models/{folder}/model.keras"))
    probabilities = model.predict(np.asarray(pictures.images), verbose=0)
    wanted = [evaluation.load(network, "study", fold).test.probabilities for fold in folds]
    # Those on disk are float16, which is good for three decimals.
    np.testing.assert_allclose(probabilities, np.mean(wanted, axis=0), atol=1e-3)


def test_an_exported_model_is_that_of_its_fold_in_half_precision(pictures):
    half, full = (Path(f"models/{name}.keras") for name in ("exported/2", "lenet/study-2/model"))
    assert half.stat().st_size < 0.6 * full.stat().st_size
    wanted = evaluation.load("lenet", "study", 2).test.probabilities
    probabilities = load_model(half).predict(np.asarray(pictures.images), verbose=0)
    np.testing.assert_allclose(probabilities, wanted, atol=5e-3)


def test_the_images_that_all_get_wrong_are_cut_out_of_the_test_set(pictures):
    classifiers = runs.classifiers(runs.load_all(params.load()))
    labels = pictures.labels
    wrong = np.all([each.test.predicted != labels for each in classifiers], axis=0)
    table = pd.read_csv("plots/misclassified/images.csv")
    assert list(table["index"]) == list(np.flatnonzero(wrong)) != []
    pixels = np.asarray(Image.open("plots/misclassified/images.png"))
    for number, index in enumerate(table["index"]):
        row, column = divmod(number, pixels.shape[1] // 28)
        tile = pixels[28 * row : 28 * (row + 1), 28 * column : 28 * (column + 1)]
        np.testing.assert_array_equal(tile, pictures.images[index])


def test_dvc_shows_metrics_and_plots_without_a_word_of_error(finished, tmp_path):
    for command in (["metrics", "show", "--json"], ["plots", "show", "--out", str(tmp_path / "p")]):
        done = project.dvc(finished, *command, capture_output=True, text=True)
        assert "error" not in (done.stdout + done.stderr).lower()
    page = (tmp_path / "p/index.html").read_text()
    for entry in read_yaml(finished / "dvc.yaml")["plots"]:
        assert (entry if isinstance(entry, str) else next(iter(entry))) in page


@pytest.mark.bytes
@pytest.mark.long
def test_a_second_run_from_nothing_gives_the_same_hashes(finished, tmp_path):
    second = tmp_path / "a folder of another name"
    project.copy_project(second)
    project.make_small(second)
    repro(second, "--no-run-cache", "--force")
    locks = [(folder / "dvc.lock").read_text() for folder in (finished, second)]
    assert locks[0] == locks[1]
    shutil.rmtree(second)
