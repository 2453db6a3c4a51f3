"""The whole pipeline, run small: what it writes, that it repeats itself, and how it is started."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from stages import params
from stages.base import images
from stages.base.files import read_json, read_yaml
from stages.base.images import ImageSet
from stages.results import evaluation, runs
from stages.training.saving import load_model
from tests import project
from tests.repro import begin, ran, repro

slow = pytest.mark.slow


@pytest.fixture
def entered(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The finished demo, as the working folder."""
    monkeypatch.chdir(finished)
    return finished


@pytest.fixture
def pictures(entered: Path) -> ImageSet:
    return images.load("data/clean", "test")


def git(folder: Path, *command: str) -> str:
    return project.git(folder, *command, capture_output=True, text=True).stdout


@slow
def test_the_demo_runs_every_kind_of_stage_and_commits_the_run_on_main(finished):
    log = (finished.parent / "demo.log").read_text()
    stages = {name.partition("@")[0] for name in read_yaml(finished / "dvc.yaml")["stages"]}
    assert {name.partition("@")[0] for name in ran(log)} == stages
    assert git(finished, "branch", "--show-current") == "main\n"
    assert git(finished, "status", "--porcelain") == ""
    committed = git(finished, "ls-files").splitlines()
    written = ("metrics/compare.json", "plots/report.html", "models/exported/1.keras")
    assert {"dvc.lock", *written} <= set(committed)


@slow
def test_lenet_learns_from_the_sample(entered):
    for fold in (1, 2):
        assert evaluation.load("lenet", "study", fold).metrics["test_accuracy"] > 0.7


@slow
def test_metrics_are_flat_numbers(finished):
    for path in (finished / "metrics").rglob("*.json"):
        for key, value in read_json(path).items() if path.name != "training.json" else ():
            assert "." not in key
            assert isinstance(value, (int, float)), (path, key)


@slow
@pytest.mark.parametrize("name", ["lenet/study-1", "resnet/study", "vgg/study", "vgg/improved"])
def test_a_saved_model_takes_raw_images_and_repeats_the_probabilities(pictures, name):
    network, recipe = name.removesuffix("-1").split("/")
    model = load_model(Path(f"models/{name}/model.keras"))
    probabilities = model.predict(np.asarray(pictures.images), verbose=0)
    folds = [1, 2] if recipe == "improved" else [1]
    wanted = [evaluation.load(network, recipe, fold).test.probabilities for fold in folds]
    # Those on disk are float16, which is good for three decimals.
    np.testing.assert_allclose(probabilities, np.mean(wanted, axis=0), atol=1e-3)


@slow
def test_an_exported_model_is_that_of_its_fold_in_half_precision(pictures):
    half, full = (Path(f"models/{name}.keras") for name in ("exported/2", "lenet/study-2/model"))
    assert half.stat().st_size < 0.6 * full.stat().st_size
    wanted = evaluation.load("lenet", "study", 2).test.probabilities
    probabilities = load_model(half).predict(np.asarray(pictures.images), verbose=0)
    np.testing.assert_allclose(probabilities, wanted, atol=5e-3)


@slow
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


@slow
def test_dvc_shows_metrics_and_plots_without_a_word_of_error(finished, tmp_path):
    for command in (["metrics", "show", "--json"], ["plots", "show", "--out", str(tmp_path / "p")]):
        done = project.dvc(finished, *command, capture_output=True, text=True)
        assert "error" not in (done.stdout + done.stderr).lower()
    page = (tmp_path / "p/index.html").read_text()
    for entry in read_yaml(finished / "dvc.yaml")["plots"]:
        assert (entry if isinstance(entry, str) else next(iter(entry))) in page


def demo(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
    """Run the demo of the project in `folder`."""
    return subprocess.run(
        [sys.executable, "-m", "tools.demo", *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """A repository of the project with a commit, whose pipeline is one quick stage."""
    folder = tmp_path / "quick"
    project.copy_project(folder)
    stage = {"cmd": "mkdir -p plots && echo written > plots/report.html", "deps": ["params.yaml"]}
    stage["outs"] = [{"plots/report.html": {"cache": False}}]
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"report": stage}}))
    project.git(folder, "add", "--all")
    project.git(folder, *project.COMMIT)
    return folder


HOOK = f"""#!/bin/sh
exec {sys.executable} -m tools.demo "$HOME/demo"
"""
SETTINGS = """
[core]
	excludesFile = {home}/excludes
	hooksPath = {home}/hooks
[commit]
	gpgsign = true
[gpg]
	program = false
[user]
	name = A User
	email = user@example.org
"""


def test_a_demo_within_a_hook_leaves_the_users_branch_alone(quick, tmp_path):
    """In a linked worktree Git tells hooks where it is; and the user's settings are not ours."""
    home = tmp_path / "home"
    (home / "hooks").mkdir(parents=True)
    (home / ".gitconfig").write_text(SETTINGS.format(home=home))
    (home / "excludes").write_text("*.csv\n*.html\n")
    (home / "hooks/pre-commit").write_text(HOOK)
    (home / "hooks/pre-commit").chmod(0o755)
    project.git(quick, "worktree", "add", "--quiet", "../linked")
    (tmp_path / "linked/README.md").write_text("changed")
    command = "git -c commit.gpgsign=false commit --quiet --all --message changed"
    subprocess.run(
        command.split(), cwd=tmp_path / "linked", env={**os.environ, "HOME": str(home)}, check=True
    )
    assert git(tmp_path / "linked", "show", "--format=%an", "--name-only").split() == [
        *("A", "User", "README.md"),
    ]
    assert git(tmp_path / "linked", "status", "--porcelain") == ""
    assert git(home / "demo", "log", "--format=%s") == "The run of demo.yaml\n"
    committed = git(home / "demo", "ls-files").splitlines()
    assert {"data/sample/train.csv", "plots/report.html"} <= set(committed)


def test_other_params_use_the_projects_own_cache(quick, tmp_path):
    shutil.copy(project.ROOT / "demo.yaml", tmp_path / "mine.yaml")
    done = demo(quick, str(tmp_path / "copy"), "--params", str(tmp_path / "mine.yaml"))
    assert done.returncode == 0, done.stderr
    printed = project.dvc(tmp_path / "copy", "cache", "dir", capture_output=True, text=True).stdout
    assert printed == f"{quick}/.dvc/cache\n"


def test_the_demo_overwrites_no_folder(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    done = demo(project.ROOT, str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("kind", ["no repository", "another's", "no Git"])
def test_where_git_cannot_help_the_demo_says_so_in_one_line(quick, tmp_path, kind):
    variables = {"GIT_CEILING_DIRECTORIES": str(tmp_path)}
    if kind == "no repository":
        shutil.rmtree(quick / ".git")
        wanted = "not a git repository"
    elif kind == "another's":
        variables["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = "1"  # Git's own tests use it
        wanted = "git config --global --add safe.directory"
    else:
        variables["PATH"] = str(tmp_path)
        wanted = "Git is not installed"
    done = demo(quick, str(tmp_path / "demo"), **variables)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("demo: error: ")
    assert wanted in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.long
def test_a_second_run_from_nothing_gives_the_same_hashes(finished, tmp_path):
    second = tmp_path / "a folder of another name"
    project.copy_project(second)
    project.make_small(second)
    repro(second, "--no-run-cache", "--force")
    locks = [(folder / "dvc.lock").read_text() for folder in (finished, second)]
    assert locks[0] == locks[1]
    shutil.rmtree(second)


@pytest.mark.long
def test_a_finished_fold_is_not_trained_again_after_a_kill(scratch):
    project.set_params(scratch, {"lenet.study.epochs": 3})
    killed = begin(scratch, "cv_lenet")
    begun = []  # in DVC's order, which is not always that of the folds
    for line in killed.stdout:
        begun += ran(line)
        if len(begun) == 2 and line.startswith("Epoch 3/3"):
            os.killpg(killed.pid, signal.SIGKILL)
            break
    killed.wait()
    assert killed.returncode == -signal.SIGKILL
    output = repro(scratch, "cv_lenet")
    assert ran(output) == begun[1:]
    assert f"{begun[1]}: going on after epoch 2 of 3" in output


@slow
def test_nothing_runs_when_nothing_has_changed(finished):
    assert ran(repro(finished)) == []


@pytest.mark.long
def test_compare_runs_in_a_clone_without_the_cache(finished, tmp_path):
    clone = tmp_path / "clone"
    project.git(finished, "clone", "--quiet", str(finished), str(clone))
    with (clone / "stages/compare.py").open("a") as file:
        file.write("\n# a change\n")
    assert set(ran(repro(clone, "--allow-missing"))) == {"compare"}
