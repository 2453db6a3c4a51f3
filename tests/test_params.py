"""`stages/params.py`: what `params.yaml` may say, and the line for each slip in it."""

import copy
import hashlib
import shutil
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
from dvc.utils.serialize import load_yaml

from stages import params
from stages.catalog import NETWORKS
from stages.cli import InputError
from tests.helpers import contents, message_of, run_stage
from tests.project import ROOT, set_params
from tests.schema import Key, keys

FILE = ROOT / "params.yaml"
CONTENT = load_yaml(FILE)
KEYS = list(keys(CONTENT))
SUM = f"sha256:{hashlib.sha256().hexdigest()}"
FILES = ("train_images", "train_labels", "test_images", "test_labels")
OF_OTHER_BACKBONES = [
    f"features.{name}.backbone"
    for name, recipe in CONTENT["features"].items()
    if recipe["backbone"] != "vgg16"
]
IDX = {name: {"path": name, "sum": SUM} for name in FILES}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The project's params, in a folder without anything else."""
    return Path(shutil.copy(FILE, tmp_path))


def lines_of(path: Path) -> list[str]:
    """What is said of `path`: a line for each slip, which begins with its key."""
    with pytest.raises(InputError) as caught:
        params.load(path)
    return [line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines()]


def test_the_ablation_begins_and_ends_with_the_recipes_of_the_params():
    """`ablation.yaml` repeats them, because each of its rows says only what it changes."""
    ablation, own = params.load(ROOT / "ablation.yaml"), params.load(FILE)
    assert ablation.lenet["study"] == own.lenet["study"]
    for network in NETWORKS:
        *_, last_step = getattr(ablation, network).values()
        *_, last_recipe = getattr(own, network).values()
        assert last_step == last_recipe
    for name in own.features.keys() & ablation.features.keys():
        assert ablation.features[name] == own.features[name]
    assert (ablation.seed, ablation.tune, ablation.cv) == (own.seed, own.tune, own.cv)


@pytest.mark.parametrize("key", KEYS, ids=[key.name for key in KEYS])
def test_a_key_says_what_it_means_and_may_have_what_its_examples_have(key: Key):
    assert key.field.description
    # What it means without a value lies in a module that is a dep, so that DVC sees it change.
    assert key.field.is_required() or key.field.default is None
    for value in key.others(CONTENT):
        content = copy.deepcopy(CONTENT)
        *parents, name = key.name.split(".")
        reduce(getitem, parents, content)[name] = value
        assert params.Params.model_validate(content).model_dump(exclude_unset=True) == content


def test_numbers_are_those_that_dvc_reads(path):
    text = FILE.read_text()
    for key, old, new in (
        ("seed", "0", "020"),
        ("batch_size", "128", "0o17"),
        ("learning_rate", "0.001", "1e-05"),
        ("weight_decay", "0.01", "1.E-5"),
    ):
        text = text.replace(f"{key}: {old}\n", f"{key}: {new}\n")
    path.write_text(text)
    assert params.load(path).model_dump(exclude_none=True) == load_yaml(path) != CONTENT


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.csv.test", "test\0.csv"),
        ("data.classes", ["left", "ri\nght"]),
        ("data.idx", {**IDX, "train_images": {"path": "a", "sum": "0"}}),
        ("data.idx", {**IDX, "train_images": {"url": "https://a/..", "sum": SUM}}),
        ("features.vgg16-study.backbone", "vgg19"),
        ("vgg.Ours", CONTENT["vgg"]["study"]),
        ("epochs", 30),
    ],
)
def test_a_bad_value_has_a_line_with_its_key(path, key, value):
    set_params(path.parent, {key: value})
    assert all(line.startswith(key) for line in lines_of(path))


@pytest.mark.parametrize(
    ("changes", "keys_at_odds"),
    [
        ({"data.source": "idx"}, ["data.source", "data.source"]),
        ({"data.classes": ["same", "same"]}, ["data.classes"]),
        ({"data.idx": {**IDX, "train_images": {"sum": SUM}}}, ["data.idx.train_images"]),
        ({"tune.units.min": 4, "tune.units.max": 2}, ["tune.units.max"]),
        ({"tune.units": 248}, ["lenet.study.units"]),
        ({"cv.folds": [1, 3]}, ["cv.folds"]),
        ({"export.recipe": "ours"}, ["export.recipe"]),
        ({"features.vgg16-study.backbone": "resnet50"}, ["vgg.study.features"]),
        ({"vgg.study.warmup_epochs": 2}, ["vgg.study.warmup_epochs"]),
        ({"vgg.study.cross_validated": True}, ["vgg.study"]),
        ({"backbone": {"vgg16": CONTENT["backbone"]["vgg16"]}}, OF_OTHER_BACKBONES),
    ],
)
def test_keys_at_odds_have_a_line_each(path, changes, keys_at_odds):
    set_params(path.parent, changes)
    assert [line.split()[0] for line in lines_of(path)] == keys_at_odds


def test_a_shell_sees_a_line_each_and_nothing_is_written(path):
    text = path.read_text().replace("  duplicates: drop_all", "").replace("seed: 0", "seed: -1")
    path.write_text(text)
    finished = run_stage(path.parent, "clean")
    assert finished.returncode == 1
    first, second = finished.stderr.splitlines()
    assert first.startswith("clean: error: params.yaml: seed is -1: ")
    assert second.startswith("params.yaml: clean is None: ")
    assert set(contents(path.parent)) == {"params.yaml"}


@pytest.mark.parametrize(
    "text", ["", "- seed", "seed: [0", "seed: 2026-99-99", "seed: !!bool x", "seed: 0\nseed: 1"]
)
def test_a_file_without_params_has_one_line(path, text):
    path.write_text(text)
    assert message_of(params.load, path).startswith(str(path))


def test_a_recipe_has_one_training_or_one_for_each_fold(path):
    set_params(path.parent, {"cv.folds": [1, 2, 3]})
    settings = params.load(path)
    assert "vgg.ours is missing" in message_of(params.recipe, settings.vgg, "ours", "vgg")
    assert params.trainings(settings, "lenet", "study") == [1, 2, 3]
    assert params.trainings(settings, "vgg", "improved") == [1, 2, 3]
    assert params.trainings(settings, "vgg", "study") == [1]
