"""`stages/common/params.py`: what `params.yaml` may say, and what is said of a slip in it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages import params
from tools.demo import CHANGES, set_params
from tests.helpers import message_of
from tests.imports import ROOT


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path))


def test_the_projects_params_are_valid():
    """And nothing in the file is lost on reading."""
    loaded = params.load(ROOT / "params.yaml")
    written = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert loaded.model_dump() == written


def test_the_demos_params_are_valid(path):
    set_params(path.parent, CHANGES)
    assert params.load(path).data.source == "digits"


@pytest.mark.parametrize("text", ["1e-05", "1E-5", "1.e-05", "0.1e-4", "'1e-05'", "0.00001"])
def test_a_number_with_an_exponent_is_a_number(path, text):
    """YAML 1.1 reads `1e-05`, which `dvc exp run -S` writes, as a string."""
    before = path.read_text(encoding="utf-8")
    after = before.replace("learning_rate: 0.001", f"learning_rate: {text}").replace(
        "learning_rate: [0.01,", f"learning_rate: [{text},"
    )
    assert after.count(text) >= 3
    path.write_text(after, encoding="utf-8")
    loaded = params.load(path)
    assert loaded.vgg["study"].learning_rate == 1e-5
    assert loaded.tune.learning_rate[0] == 1e-5


@pytest.mark.parametrize("name", ["units", "learning_rate"])
def test_a_lenet_recipe_may_have_its_own_numbers(path, name):
    value: Any = {"units": 248, "learning_rate": "1e-03"}[name]
    set_params(path.parent, {f"lenet.study.{name}": value})
    assert getattr(params.load(path).lenet["study"], name) == float(value)


def test_recipes_may_be_added(path):
    set_params(
        path.parent,
        {"lenet.ours": {"units": 64, "learning_rate": 0.01, "epochs": 1, "batch_size": 8}},
    )
    loaded = params.load(path)
    assert params.recipe(loaded.lenet, "ours", "lenet").units == 64


def test_a_missing_recipe_is_named(path):
    assert message_of(params.recipe, params.load(path).vgg, "ours", "vgg") == (
        "params.yaml: vgg.ours is missing; recipes that vgg has: study. Add it, or take 'ours' out "
        "of the matrix in dvc.yaml"
    )


def test_an_unknown_backbone_is_named(path):
    assert message_of(params.backbone, params.load(path), "vgg19") == (
        "there is no backbone 'vgg19'; there are resnet50, vgg16"
    )


@pytest.mark.parametrize(
    ("key", "value", "may_be"),
    [
        ("seed", -1, "greater than or equal to 0"),
        ("seed", 2**31, "less than 2147483648"),
        ("seed", 1.5, "integer"),
        ("seed", "0", "integer"),
        ("seed", True, "integer"),
        ("seed", None, "integer"),
        ("data.source", "mnist", "'fashion_mnist', 'csv' or 'digits'"),
        ("data.csv", None, "dictionary"),
        ("data.csv.train", 3, "string"),
        ("clean.duplicates", False, "'drop_all', 'keep_first' or 'keep'"),
        ("tune.algorithm", "grid", "'hyperband', 'bayesian' or 'random'"),
        ("tune.objective", "accuracy", "'val_accuracy' or 'val_loss'"),
        ("tune.units", {"min": 64, "max": 32, "step": 8}, "max (32) must not be below min (64)"),
        ("tune.units.min", 0, "greater than or equal to 1"),
        ("tune.units.step", 0, "greater than 0"),
        ("tune.learning_rate", 0.01, "list"),
        ("tune.learning_rate", [], "must not be empty"),
        ("lenet", {}, "must not be empty"),
        ("tune.validation_split", 1, "less than 1"),
        ("tune.validation_split", 0, "greater than 0"),
        ("tune.factor", 1, "greater than or equal to 2"),
        ("tune.patience", 0, "greater than 0"),
        ("cv.folds", 1, "list"),
        ("cv.folds", [1], "two folds or more"),
        ("cv.folds", [0, 1], "number the folds from 1"),
        ("cv.folds", [1, 3], "number the folds from 1"),
        ("lenet", None, "dictionary"),
        ("lenet.study.units", "best", "must be 'tuned' or must be a valid integer"),
        ("lenet.study.units", 0, "must be 'tuned' or must be greater than or equal to 1"),
        ("lenet.study.learning_rate", "fast", "must be 'tuned' or must be a valid number"),
        ("lenet.study.learning_rate", 2, "must be 'tuned' or must be less than or equal to 1"),
        ("lenet.study.epochs", 0, "greater than 0"),
        ("lenet.study.epochs", 30.0, "integer"),
        ("lenet.study.batch_size", -64, "greater than 0"),
        ("backbone.vgg16.weights", "none", "'imagenet' or 'random'"),
        ("backbone.vgg16.layer", 5, "string"),
        ("features.vgg16.study.input_size", 31, "greater than or equal to 32"),
        ("features.vgg16.study.preprocessing", "caffe", "'unit' or 'imagenet'"),
        ("features.resnet50.study.pooling", None, "'none' or 'avg'"),
        ("resnet.study.learning_rate", 0, "greater than 0"),
        ("resnet.study.learning_rate", float("nan"), "greater than 0"),
        ("vgg.study.dense_layers", 9, "less than or equal to 8"),
        ("vgg.study.dense_units", "4096", "integer"),
        ("lenet.study.dropout", 0.5, "unknown key"),
        ("data.sorce", "csv", "unknown key"),
        ("epochs", 30, "unknown key"),
        ("backbone.vgg19", 1, "unknown key"),
    ],
)
def test_a_bad_value_is_named_with_what_it_may_be(path, key, value, may_be):
    set_params(path.parent, {key: value})
    message = message_of(params.load, path)
    assert message.startswith(f"{path}: {key} is {value!r}: ")
    assert may_be in message
    assert message.count(str(path)) == 1, "one slip is one sentence"


def test_a_bad_value_in_a_list_is_named_by_its_place(path):
    set_params(path.parent, {"tune.learning_rate": [0.01, "fast"]})
    assert message_of(params.load, path).startswith(f"{path}: tune.learning_rate.1 is 'fast': ")


def test_several_slips_are_all_named(path):
    set_params(path.parent, {"seed": -1, "clean.duplicates": "no", "vgg.study.epochs": 0})
    message = message_of(params.load, path)
    for key in ("seed is -1", "clean.duplicates is 'no'", "vgg.study.epochs is 0"):
        assert f"{path}: {key}: " in message


def test_a_long_value_is_cut_short(path):
    set_params(path.parent, {"seed": "0" * 1000})
    message = message_of(params.load, path)
    assert "0000..." in message
    assert len(message) < len(str(path)) + 150


def test_a_missing_key_is_named(path):
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    del content["vgg"]["study"]["epochs"]
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    message = message_of(params.load, path)
    assert message == f"{path}: vgg.study.epochs is missing: add it"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: [0", "is not valid YAML: while parsing a flow sequence"),
        ("seed: 0\n\tdata: 1", "is not valid YAML: while scanning"),
        ("", "the file is None"),
        ("- seed", "the file is ['seed']"),
    ],
    ids=["open bracket", "tab", "empty", "a list"],
)
def test_a_file_that_holds_no_params(path, text, expected):
    path.write_text(text, encoding="utf-8")
    message = message_of(params.load, path)
    assert message.startswith(str(path))
    assert expected in message


def test_no_file(tmp_path):
    path = tmp_path / "params.yaml"
    assert message_of(params.load, path) == f"{path} is missing; run from the repository's root"
