"""The whole pipeline, run small: what it writes, that it repeats itself, and that it survives."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from stages import params
from stages.base import images
from stages.base.classes import class_names
from stages.base.files import read_json, read_yaml
from stages.base.images import ImageSet
from stages.results import evaluation, runs, study
from tests import project
from tests.helpers import contents
from tests.repro import begin, ran, repro
from tools import demo, times

pytestmark = pytest.mark.slow

RUNS = ["lenet/study-1", "lenet/study-2", "resnet/study", "vgg/study"]


@pytest.fixture
def entered(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished demo, as the working folder."""
    monkeypatch.chdir(finished)
    return finished


@pytest.fixture
def pictures(entered: Path) -> ImageSet:
    return images.load("data/clean", "test")


def test_the_demo_runs_every_stage_and_ends_with_the_table(finished):
    log = (finished.parent / "demo.log").read_text()
    stages = {name.partition("@")[0] for name in read_yaml(finished / "dvc.yaml")["stages"]}
    assert {name.partition("@")[0] for name in ran(log)} == stages
    table = log[log.index("Running stage 'compare'") :]
    for model in ("LeNet-5", "ResNet50", "VGG16"):
        assert model in table
    assert "a small sample of Fashion-MNIST" in table
    assert "random here, not ImageNet's" in table
    assert "VGG16, random weights" in table
    assert "compare: best on the test set is LeNet-5" in table
    assert log.index("what they give, alone or with LeNet-5") > log.index("Running stage 'report'")


def test_the_demos_readme_says_which_numbers_are_its_own(finished):
    readme = (finished / "README.md").read_text(encoding="utf-8")
    assert readme == demo.NOTE + (project.ROOT / "README.md").read_text(encoding="utf-8")


def test_the_demo_ends_with_a_commit_on_main(finished):
    def git(*command: str) -> str:
        done = subprocess.run(
            ["git", *command], cwd=finished, check=True, capture_output=True, text=True
        )
        return done.stdout

    assert git("branch", "--show-current") == "main\n"
    assert git("status", "--porcelain") == ""
    committed = git("ls-files").splitlines()
    for name in (
        "dvc.lock",
        "metrics/compare.json",
        "plots/report.html",
        "models/exported/1.keras",
    ):
        assert name in committed


def test_the_demo_overwrites_no_folder(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    command = [sys.executable, "-m", "tools.demo", str(tmp_path)]
    run = subprocess.run(command, cwd=project.ROOT, check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert "is there already; name a folder that is not" in run.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_the_demo_takes_only_its_own_commit_for_its_own(tmp_path):
    assert not demo.has_more_than_the_demo(tmp_path)
    project.git(tmp_path, "init", "--quiet")
    (tmp_path / "params.yaml").write_text("broken off")
    assert not demo.has_more_than_the_demo(tmp_path)
    project.git(tmp_path, "add", ".")
    project.git(tmp_path, *project.COMMIT)
    assert not demo.has_more_than_the_demo(tmp_path)
    (tmp_path / "params.yaml").write_text("mine")
    assert demo.has_more_than_the_demo(tmp_path)
    project.git(tmp_path, *project.COMMIT, "--all")
    assert demo.has_more_than_the_demo(tmp_path)


def test_lenet_learns_from_the_sample(finished):
    for name in ("study-1", "study-2"):
        assert read_json(finished / f"metrics/lenet/{name}/metrics.json")["test_accuracy"] > 0.7


@pytest.mark.long
def test_a_second_run_gives_the_same_bytes(scratch):
    """A fold, in another folder, in new processes; of a head `test_tools` shows the same."""
    stages = ["cv_lenet@study-1", "evaluate_lenet@study-1"]
    folders = ["models/lenet", "metrics"]
    before = {name: contents(scratch / name) for name in folders}
    output = repro(scratch, "--single-item", "--force", "--no-run-cache", *stages)
    assert set(ran(output)) == set(stages)
    for name in folders:
        assert contents(scratch / name) == before[name]


@pytest.mark.long
def test_a_second_run_from_nothing_gives_the_same_hashes(finished, tmp_path):
    second = tmp_path / "a folder of another name"
    project.copy_project(second)
    project.make_small(second)
    repro(second, "--no-run-cache", "--force")
    locks = [(folder / "dvc.lock").read_text() for folder in (finished, second)]
    assert locks[0] == locks[1]
    shutil.rmtree(second)


def test_nothing_runs_when_nothing_has_changed(finished):
    started = time.monotonic()
    assert ran(repro(finished)) == []
    assert time.monotonic() - started < 10


@pytest.mark.long
def test_a_finished_fold_is_not_trained_again_after_a_kill(scratch):
    project.set_params(scratch, {"lenet.study.epochs": 3})
    killed = begin(scratch, "cv_lenet")
    begun = []  # in DVC's order, which is not always that of the folds
    for line in killed.stdout:
        begun += ran(line)
        if len(begun) == 2 and line.startswith("epoch 2/3"):
            os.killpg(killed.pid, signal.SIGKILL)
            break
    killed.wait()
    assert killed.returncode == -signal.SIGKILL
    output = repro(scratch, "cv_lenet")
    assert ran(output) == begun[1:]
    assert f"{begun[1]}: going on after epoch 2 of 3" in output


def test_compare_runs_in_a_clone_without_the_cache(finished, tmp_path):
    clone = tmp_path / "clone"
    project.git(finished, "clone", "--quiet", str(finished), str(clone))
    with (clone / "stages/results/study.py").open("a") as file:
        file.write("\n# a change that only compare and the report depend on\n")
    assert ran(repro(clone, "--allow-missing")) == ["compare", "report"]


def test_results_put_every_number_of_the_study_beside_ours(finished):
    table = pd.read_csv(finished / "plots/compare/results.csv")
    stated = {score for scores in study.RESULTS.values() for score in scores.values()}
    # The demo has two of the study's five folds.
    missing = {study.RESULTS["lenet"][f"fold {fold}, test"] for fold in (3, 4, 5)}
    shown = table.dropna(subset="study_loss")
    pairs = set(zip(shown["study_loss"], shown["study_accuracy"], strict=True))
    assert pairs == {tuple(score) for score in stated - missing}
    assert table[["loss", "accuracy"]].notna().all(axis=None)


def test_metrics_are_flat_numbers(finished):
    paths = {*(finished / "metrics").glob("*.json"), *(finished / "metrics").rglob("metrics.json")}
    assert len(paths) == 3 + len(RUNS)
    for path in paths:
        for key, value in read_json(path).items():
            assert "." not in key
            assert isinstance(value, (int, float)), (path, key)


def test_confusion_counts_every_test_image_of_every_classifier_once(pictures):
    names = class_names(params.load().data)
    table = pd.read_csv("plots/compare/confusion.csv")
    for each in runs.classifiers(runs.load_all(params.load())):
        counts = table[table["classifier"] == each.name].groupby("actual", sort=False)["images"]
        assert list(counts.sum().index) == list(names)
        assert list(counts.sum()) == list(np.bincount(pictures.labels))


@pytest.mark.parametrize("name", RUNS)
def test_a_saved_model_takes_raw_images_and_repeats_the_probabilities(pictures, name):
    from stages.training.saving import load_model

    model = load_model(Path(f"models/{name}/model.keras"))
    found = model.predict(np.asarray(pictures.images), verbose=0)
    # Those on disk are float16, which is good for three decimals.
    np.testing.assert_allclose(found, evaluation.load(name).test.probabilities, atol=1e-3)


@pytest.mark.parametrize("fold", [1, 2])
def test_an_exported_model_is_that_of_its_fold_in_half_precision(pictures, fold):
    from stages.training.saving import load_model

    paths = [
        Path(f"models/{name}.keras") for name in (f"exported/{fold}", f"lenet/study-{fold}/model")
    ]
    half, full = (path.stat().st_size for path in paths)
    assert half < 0.6 * full
    expected = evaluation.load(f"lenet/study-{fold}").test
    found = load_model(paths[0]).predict(np.asarray(pictures.images), verbose=0)
    np.testing.assert_allclose(found, expected.probabilities, atol=5e-3)
    assert (found.argmax(axis=1) == expected.predicted).mean() > 0.99


@pytest.mark.parametrize(
    ("head", "features"), [("resnet", "resnet50-study"), ("vgg", "vgg16-study")]
)
def test_the_whole_network_agrees_with_the_head_on_cached_features(pictures, head, features):
    from stages.training.saving import load_model

    whole = load_model(Path(f"models/{head}/study/model.keras"))
    cached = np.load(f"data/features/{features}/test/features.npy")
    expected = whole.get_layer(head).predict(cached, verbose=0)
    found = whole.predict(np.asarray(pictures.images), verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_images_that_all_get_wrong_are_cut_out_of_the_test_set(pictures):
    names = np.array(class_names(params.load().data))
    classifiers = runs.classifiers(runs.load_all(params.load()))
    labels = pictures.labels
    wrong = np.all([each.test.predicted != labels for each in classifiers], axis=0)
    table = pd.read_csv("plots/misclassified/images.csv")
    assert list(table["index"]) == list(np.flatnonzero(wrong)) != []
    assert list(table["actual"]) == list(names[labels[wrong]])
    for each in classifiers:
        assert list(table[each.name]) == list(names[each.test.predicted[wrong]])
    pixels = np.asarray(Image.open("plots/misclassified/images.png"))
    for number, index in enumerate(table["index"]):
        row, column = divmod(number, pixels.shape[1] // 28)
        tile = pixels[28 * row : 28 * (row + 1), 28 * column : 28 * (column + 1)]
        np.testing.assert_array_equal(tile, pictures.images[index])


def test_every_registered_model_has_a_card_that_names_its_files(finished):
    cards = [path.read_text() for path in (finished / "models/cards").glob("*.md")]
    paths = [each["path"] for each in read_yaml(finished / "dvc.yaml")["artifacts"].values()]
    # The demo has the study's recipe alone.
    there = [path for path in paths if not path.endswith("/improved")]
    assert len(there) == len(cards) == 3
    for path in there:
        assert (finished / path).is_dir()
        assert sum(f"`{path}/" in card for card in cards) == 1


def test_the_time_of_every_stage_is_told(entered):
    assert set(times.here()) == set(read_yaml("dvc.lock")["stages"])


def test_dvc_shows_metrics_and_plots_without_a_word_of_error(finished, tmp_path):
    metrics = project.dvc(finished, "metrics", "show", "--json", capture_output=True, text=True)
    assert "error" not in metrics.stdout.lower()
    plots = project.dvc(
        finished, "plots", "show", "--out", str(tmp_path / "plots"), capture_output=True, text=True
    )
    assert "error" not in (plots.stdout + plots.stderr).lower()
    page = (tmp_path / "plots" / "index.html").read_text()
    for entry in yaml.safe_load((project.ROOT / "dvc.yaml").read_text())["plots"]:
        assert (entry if isinstance(entry, str) else next(iter(entry))) in page
