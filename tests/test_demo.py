"""The whole pipeline, run small: what it writes, that it repeats itself, and that it survives."""

import os
import re
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
from stages.common import evaluation, images, runs, study
from stages.common.files import read_json
from tools import demo

pytestmark = pytest.mark.slow


@pytest.fixture
def scratch(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished demo that a test may change."""
    return shutil.copytree(finished, tmp_path / "scratch", symlinks=True)


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '(.*)'", output)


def repro(folder: Path, *arguments: str) -> str:
    return demo.dvc(folder, "repro", *arguments, capture_output=True, text=True).stdout


def test_the_demo_runs_every_stage_and_ends_with_the_table(finished):
    log = (finished / "demo.log").read_text()
    assert {name.partition("@")[0] for name in ran(log)} == {
        *("ingest", "clean", "eda", "encode", "tune", "cv_lenet"),
        *("weights", "features", "resnet", "vgg", "export", "compare"),
    }
    table = log[log.index("Running stage 'compare'") :]
    for model in ("LeNet-5", "ResNet50", "VGG16"):
        assert model in table
    assert "digits, not Fashion-MNIST" in table
    assert "Random weights" in table


def test_the_demo_overwrites_no_folder(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    command = [sys.executable, "-m", "tools.demo", str(tmp_path)]
    run = subprocess.run(command, cwd=demo.ROOT, check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert "is there already; name a folder that is not" in run.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_second_run_from_nothing_gives_the_same_hashes(finished):
    second = finished.parent / "a folder of another name"
    demo.copy_project(second, demo.CHANGES)
    repro(second, "--no-run-cache", "--force")
    locks = [(folder / "dvc.lock").read_text() for folder in (finished, second)]
    assert locks[0] == locks[1]


def test_nothing_runs_when_nothing_has_changed(finished):
    started = time.monotonic()
    assert ran(repro(finished)) == []
    assert time.monotonic() - started < 5


def test_a_finished_fold_is_not_trained_again_after_a_kill(scratch):
    demo.set_params(scratch, {"lenet.study.epochs": 3})
    killed = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=scratch,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    for line in killed.stdout:
        if line.startswith("lenet:") and (scratch / "metrics/lenet/study-1.csv").exists():
            lines = (scratch / "metrics/lenet/study-1.csv").read_text().splitlines()
            if len(lines) == 1 + 3 and not (scratch / "metrics/lenet/study-2.csv").exists():
                os.killpg(killed.pid, signal.SIGKILL)
                break
    killed.wait()
    assert killed.returncode == -signal.SIGKILL
    assert ran(repro(scratch)) == ["cv_lenet@study-2", "export", "compare"]


def test_a_heads_width_retrains_that_head_only(scratch):
    demo.set_params(scratch, {"vgg.study.dense_units": 64})
    assert ran(repro(scratch)) == ["vgg@study", "export", "compare"]


def test_compare_runs_in_a_clone_without_the_cache(scratch):
    for path in ("data/raw", "data/clean", "data/encoded", "data/features", ".dvc/cache"):
        shutil.rmtree(scratch / path)
    for path in ("models/lenet/folds", "models/pretrained", "models/resnet", "models/vgg"):
        shutil.rmtree(scratch / path)
    with (scratch / "stages/common/published.py").open("a") as file:
        file.write("\n# a change that only compare depends on\n")
    assert ran(repro(scratch, "--allow-missing")) == ["compare"]


def test_results_put_every_number_of_the_study_beside_ours(finished):
    table = pd.read_csv(finished / "plots/compare/results.csv")
    stated = {score for scores in published.STUDY.values() for score in scores.values()}
    # The demo has two of the study's five folds.
    missing = {published.STUDY["lenet"][f"fold {fold}, test"] for fold in (3, 4, 5)}
    shown = table.dropna(subset="study_loss")
    pairs = set(zip(shown["study_loss"], shown["study_accuracy"], strict=True))
    assert pairs == {tuple(score) for score in stated - missing}
    assert table[["loss", "accuracy"]].notna().all(axis=None)


def test_metrics_are_flat_numbers(finished):
    for path in (finished / "metrics").rglob("*.json"):
        for key, value in read_json(path).items():
            assert "." not in key
            assert isinstance(value, (int, float)), (path, key)


def test_confusion_tables_have_a_row_for_each_test_image(finished, monkeypatch):
    monkeypatch.chdir(finished)
    test = images.load("data/clean", "test")
    names = np.array(images.class_names("digits"))
    for path in Path("plots/compare/confusion").iterdir():
        table = pd.read_csv(path)
        assert list(table["actual"]) == list(names[test.labels])
        assert set(table["predicted"]) <= set(names)


@pytest.mark.parametrize(
    "name", ["lenet/folds/study-1", "lenet/folds/study-2", "resnet/study", "vgg/study"]
)
def test_a_saved_model_takes_raw_images_and_repeats_the_probabilities(finished, monkeypatch, name):
    from stages.common.keras_setup import keras

    monkeypatch.chdir(finished)
    model = keras.saving.load_model(f"models/{name}.keras")
    raw = images.load("data/clean", "test").images
    found = model.predict(np.asarray(raw), verbose=0)
    # Those on disk are float16, which is good for three decimals.
    expected = results.load(name.replace("folds/", "")).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_the_exported_model_is_the_best_fold_in_half_precision(finished, monkeypatch):
    from stages.common.keras_setup import keras

    monkeypatch.chdir(finished)
    folds = {fold: results.load(f"lenet/study-{fold}") for fold in (1, 2)}
    best = max(folds, key=lambda fold: folds[fold].metrics["val_accuracy"])
    models = [Path(f"models/lenet/{name}.keras") for name in ("best", f"folds/study-{best}")]
    half, full = (path.stat().st_size for path in models)
    assert half < 0.6 * full
    raw = images.load("data/clean", "test").images
    found = keras.saving.load_model(models[0]).predict(np.asarray(raw), verbose=0)
    np.testing.assert_allclose(found, folds[best].probabilities, atol=5e-3)
    assert (found.argmax(axis=1) == folds[best].probabilities.argmax(axis=1)).mean() > 0.99


def test_the_images_that_all_get_wrong_are_cut_out_of_the_test_set(finished, monkeypatch):
    monkeypatch.chdir(finished)
    test, names = images.load("data/clean", "test"), np.array(images.class_names("digits"))
    predicted = classifiers.predictions(classifiers.load_all(params.load()))
    wrong = np.all([guesses != test.labels for guesses in predicted.values()], axis=0)
    table = pd.read_csv("plots/misclassified/images.csv")
    assert list(table["index"]) == list(np.flatnonzero(wrong)) != []
    assert list(table["actual"]) == list(names[test.labels[wrong]])
    for classifier, guesses in predicted.items():
        assert list(table[classifier]) == list(names[guesses[wrong]])
    pixels = np.asarray(Image.open("plots/misclassified/images.png"))
    for number, index in enumerate(table["index"]):
        row, column = divmod(number, pixels.shape[1] // 28)
        tile = pixels[28 * row : 28 * (row + 1), 28 * column : 28 * (column + 1)]
        np.testing.assert_array_equal(tile, test.images[index])


def test_every_registered_model_has_a_card_that_names_its_file(finished):
    cards = [path.read_text() for path in (finished / "models/cards").glob("*.md")]
    for artifact in yaml.safe_load((finished / "dvc.yaml").read_text())["artifacts"].values():
        assert (finished / artifact["path"]).exists()
        assert sum(f"`{artifact['path']}`" in card for card in cards) == 1


def test_the_times_of_a_run_are_told(finished):
    command = [sys.executable, "-m", "tools.times"]
    run = subprocess.run(command, cwd=finished, check=True, capture_output=True, text=True)
    for stage in ("ingest", "cv_lenet@study-2", "features@vgg16-study", "compare"):
        assert stage in run.stdout
    assert run.stdout.rstrip().endswith("minutes in all")


@pytest.mark.parametrize(("head", "backbone"), [("resnet", "resnet50"), ("vgg", "vgg16")])
def test_the_whole_network_agrees_with_the_head_on_cached_features(
    finished, monkeypatch, head, backbone
):
    from stages.common.keras_setup import keras

    monkeypatch.chdir(finished)
    whole = keras.saving.load_model(f"models/{head}/study.keras")
    raw = images.load("data/clean", "test").images
    cached = np.load(f"data/features/{backbone}-study/test.npy")
    expected = whole.layers[-1].predict(cached, verbose=0)
    np.testing.assert_allclose(whole.predict(np.asarray(raw), verbose=0), expected, atol=1e-4)


def test_dvc_shows_metrics_and_plots_without_a_word_of_error(finished, tmp_path):
    metrics = demo.dvc(finished, "metrics", "show", "--json", capture_output=True, text=True)
    assert "error" not in metrics.stdout.lower()
    plots = demo.dvc(
        finished, "plots", "show", "--out", str(tmp_path / "plots"), capture_output=True, text=True
    )
    assert "error" not in (plots.stdout + plots.stderr).lower()
    page = (tmp_path / "plots" / "index.html").read_text()
    for entry in yaml.safe_load((demo.ROOT / "dvc.yaml").read_text())["plots"]:
        assert (entry if isinstance(entry, str) else next(iter(entry))) in page
