"""`stages/params.py`: what `params.yaml` may say, and what is said of a slip in it."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from stages import params
from stages.cli import InputError
from tests.helpers import message_of, run_stage
from tests.project import ROOT, keep_the_study, make_small, set_params

SUM = f"sha256:{hashlib.sha256().hexdigest()}"
NAMES = [f"class {label}" for label in range(10)]
IDX = {
    "train_images": {"path": "data/mnist/train-images-idx3-ubyte.gz", "sum": SUM},
    "train_labels": {"path": "labels", "sum": f"md5:{hashlib.md5().hexdigest()}"},
    "test_images": {"url": "https://example.org/a/b/t10k-images-idx3-ubyte.gz", "sum": SUM},
    "test_labels": {"url": "http://example.org/labels", "sum": SUM},
}
# Every optional key, each with a value.
OPTIONAL = {
    "data.idx": {**IDX, "transposed": True},
    "data.classes": NAMES,
    "features.resnet50-study.layers": ["conv3_block4_out", "conv4_block6_out"],
    "features.resnet50-study.mirrored": True,
    "features.resnet50-study.precision": "mixed_bfloat16",
    **{
        f"{recipe}.{key}": value
        for recipe in ("lenet.study", "resnet.study", "vgg.study")
        for key, value in {
            "weight_decay": 0.0005,
            "label_smoothing": 0.1,
            "schedule": "cosine",
            "warmup_epochs": 2,
            "ema_momentum": 0.99,
            "dropout": 0.5,
            "precision": "mixed_float16",
        }.items()
    },
    "lenet.study.batch_normalization": True,
    "lenet.study.flip": True,
    "lenet.study.shift": 2,
    "lenet.study.erasing": 0.25,
    "lenet.study.average_mirrored": True,
    "lenet.study.average_shifted": 2,
    "lenet.study.seed": 0,
    "lenet.study.seed_by_fold": True,
    "resnet.study.standardise": True,
    "resnet.study.input_dropout": 0.1,
    "vgg.study.standardise": False,
    "vgg.study.input_dropout": 0.1,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The project's params, with one recipe of each kind."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    keep_the_study(tmp_path)
    return tmp_path / "params.yaml"


def lines_of(path: Path) -> list[str]:
    """What is said of `path`, without its name: a line for each slip."""
    with pytest.raises(InputError) as caught:
        params.load(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines)
    return [line.removeprefix(f"{path}: ") for line in lines]


def take_out(path: Path, *keys: str) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name in keys:
        section = content
        *parents, key = name.split(".")
        for parent in parents:
            section = section[parent]
        del section[key]
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def sections(kind: Any) -> set[type[params.Section]]:
    """The sections that a type holds, at any depth; itself, if it is one."""
    if isinstance(kind, type) and issubclass(kind, params.Section):
        fields = [sections(field.annotation) for field in kind.model_fields.values()]
        return {kind}.union(*fields)
    return set().union(*(sections(part) for part in getattr(kind, "__args__", ())))


def test_loading_changes_nothing():
    loaded = params.load(ROOT / "params.yaml")
    written = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert loaded.model_dump(exclude_unset=True) == written
    assert loaded.model_dump(exclude_none=True) == written


def test_loading_changes_no_optional_key(path):
    set_params(path.parent, OPTIONAL)
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert params.load(path).model_dump(exclude_none=True) == written


def test_an_optional_key_means_nothing_by_itself():
    """What it means lies in a module that is a dep: a default could change unnoticed by DVC."""
    found = sections(params.Params)
    assert {params.LenetRecipe, params.UnitsRange, params.IdxFile} <= found
    optional = set()
    for model in found:
        for name, field in model.model_fields.items():
            if not field.is_required():
                assert field.default is None, f"{model.__name__}.{name}"
                assert field.default_factory is None, f"{model.__name__}.{name}"
                optional.add(name)
    tried = {name.rpartition(".")[2] for name in OPTIONAL} | {"path", "url", "transposed"}
    assert optional == tried, "OPTIONAL must have each of them"


def test_the_demos_params_are_valid(path):
    shutil.copy(ROOT / "params.yaml", path)
    make_small(path.parent)
    assert params.load(path).data.source == "sample"


@pytest.mark.parametrize("text", ["1e-05", "1E-5", "1.e-05", "0.1e-4", "'1e-05'", "0.00001"])
def test_a_number_with_an_exponent_is_a_number(path, text):
    """YAML 1.1 reads `1e-05`, which `dvc exp run -S` writes, as a string."""
    before = (ROOT / "params.yaml").read_text(encoding="utf-8")
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
        "params.yaml: vgg.ours is missing; vgg has study. Add it, or take one of these"
    )


@pytest.mark.parametrize(
    ("section", "key"), [("lenet", "average_mirrored"), ("features", "mirrored")]
)
def test_pytorch_cannot_mirror(path, monkeypatch, section, key):
    name = next(iter(getattr(params.load(path), section)))
    set_params(path.parent, {f"{section}.{name}.{key}": True})
    recipes = getattr(params.load(path), section)
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    assert getattr(params.recipe(recipes, name, section), key)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    assert message_of(params.recipe, recipes, name, section).startswith(
        f"params.yaml: {section}.{name}.{key} is true, and PyTorch cannot slice backwards; "
    )
    set_params(path.parent, {f"{section}.{name}.{key}": False})
    assert params.recipe(getattr(params.load(path), section), name, section)


def test_tune_may_have_one_value_for_what_is_not_searched(path):
    set_params(path.parent, {"tune.units": 248, "lenet.study.units": 248})
    loaded = params.load(path)
    assert not loaded.tune.searches_units
    assert loaded.tune.searches_learning_rate


PLACE = "must have a path or a url, and not both"
UNKNOWN = "unknown key, take it out or correct its name"
SECTION = "must be a section with keys of its own (a dictionary)"


@pytest.mark.parametrize(
    ("key", "value", "may_be"),
    [
        ("seed", -1, "must be greater than or equal to 0"),
        ("seed", 2**31, "must be less than 2147483648"),
        ("seed", 1.5, "must be a valid integer"),
        ("seed", "0", "must be a valid integer"),
        ("seed", True, "must be a valid integer"),
        ("seed", None, "must be a valid integer"),
        ("data.source", "digits", "must be 'fashion_mnist', 'sample', 'csv' or 'idx'"),
        ("data.csv", None, SECTION),
        ("data.csv.train", 3, "must be a string (a number, put in quotes, is one)"),
        ("data.csv.test", "test\0.csv", "must be the path of a file"),
        ("data.classes", NAMES[:9], "must be ten different names, that of label 0 first"),
        ("data.classes", [*NAMES[:9], NAMES[0]], "must be ten different names"),
        ("data.idx.test_images", {"sum": SUM}, PLACE),
        ("data.idx.test_images", {"path": "a", "sum": SUM, "url": "http://b/c"}, PLACE),
        ("data.idx.train_labels.sum", "0" * 20, "must match pattern '^(sha256:[0-9a-f]{64}|md5:"),
        ("data.idx.train_labels.path", "", "must be the path of a file"),
        ("data.idx.test_images.url", "ftp://example.org/a", "must match pattern '^https?://"),
        ("data.idx.test_images.url", "https://example.org/", "must match pattern"),
        ("data.idx.test_images.url", "https://example.org/..", "must match pattern"),
        ("data.idx.test_images.url", "https://example.org/a?b=c", "must match pattern"),
        ("data.idx.transposed", "yes", "must be a valid boolean"),
        ("clean.duplicates", False, "must be 'drop_all', 'keep_first' or 'keep'"),
        ("tune.algorithm", "grid", "must be 'hyperband', 'bayesian' or 'random'"),
        ("tune.objective", "accuracy", "must be 'val_accuracy' or 'val_loss'"),
        ("tune.units", {"max": 2, "min": 4, "step": 8}, "max (2) must not be below min (4)"),
        ("tune.units", 0, "(a dictionary) or must be greater than or equal to 1"),
        ("tune.units.min", 0, "must be greater than or equal to 1"),
        ("tune.units.step", 0, "must be greater than 0"),
        ("tune.learning_rate", 2, "must be a valid list or must be less than or equal to 1"),
        ("tune.learning_rate", [], "must not be empty"),
        ("tune.validation_split", 1, "must be less than 1"),
        ("tune.validation_split", 0, "must be greater than 0"),
        ("tune.factor", 1, "must be greater than or equal to 2"),
        ("tune.patience", 0, "must be greater than 0"),
        ("cv.folds", 1, "must be a valid list"),
        ("cv.folds", [1], "must have two folds or more"),
        ("cv.folds", [0, 1], "must number the folds from 1"),
        ("cv.folds", [1, 3], "must number the folds from 1"),
        ("lenet", {}, "must not be empty"),
        ("lenet", None, SECTION),
        ("lenet.study.units", "best", "must be 'tuned' or must be a valid integer"),
        ("lenet.study.units", 0, "must be 'tuned' or must be greater than or equal to 1"),
        ("lenet.study.learning_rate", "fast", "must be 'tuned' or must be a valid number"),
        ("lenet.study.learning_rate", 2, "must be 'tuned' or must be less than or equal to 1"),
        ("lenet.study.epochs", 0, "must be greater than 0"),
        ("lenet.study.epochs", 30.0, "must be a valid integer"),
        ("lenet.study.batch_size", -64, "must be greater than 0"),
        ("lenet.study.weight_decay", 1, "must be less than 1"),
        ("lenet.study.label_smoothing", 0, "must be greater than 0"),
        ("lenet.study.schedule", "linear", "must be 'cosine'"),
        ("lenet.study.ema_momentum", 1, "must be less than 1"),
        ("lenet.study.dropout", 1.0, "must be less than 1"),
        ("lenet.study.precision", "float16", "must be 'mixed_bfloat16' or 'mixed_float16'"),
        ("lenet.study.flip", 1, "must be a valid boolean"),
        ("lenet.study.shift", 9, "must be less than or equal to 8"),
        ("lenet.study.standardise", True, UNKNOWN),
        ("export.recipe", 1, "must be a string"),
        ("backbone", {}, "must not be empty"),
        ("backbone.vgg16.weights", "none", "must be 'imagenet' or 'random'"),
        ("backbone.vgg16.layer", 5, "must be a string"),
        ("features.vgg16-study.backbone", "vgg19", "must be 'resnet50' or 'vgg16'"),
        ("features.vgg16-study.input_size", 31, "must be greater than or equal to 32"),
        ("features.vgg16-study.preprocessing", "caffe", "must be 'unit' or 'imagenet'"),
        ("features.resnet50-study.pooling", None, "must be 'none', 'avg', 'avg_2x2' or 'avg_4x4'"),
        ("features.resnet50-study.layers", [], "must not be empty"),
        ("features.resnet50-study.mirrored", "no", "must be a valid boolean"),
        ("resnet.study.learning_rate", 0, "must be greater than 0"),
        ("resnet.study.learning_rate", float("nan"), "must be greater than 0"),
        ("resnet.study.learning_rate", "tuned", "must be a valid number"),
        ("resnet.study.input_dropout", 1, "must be less than 1"),
        ("vgg.study.dense_layers", 9, "must be less than or equal to 8"),
        ("vgg.study.dense_units", "4096", "must be a valid integer"),
        ("vgg.study.flip", True, UNKNOWN),
        ("data.sorce", "csv", UNKNOWN),
        ("epochs", 30, UNKNOWN),
    ],
)
def test_a_bad_value_is_named_with_what_it_may_be(path, key, value, may_be):
    set_params(path.parent, {"data.idx": IDX})
    set_params(path.parent, {key: value})
    (line,) = lines_of(path)
    if isinstance(value, dict | list):  # which may be cut short
        assert line.startswith(f"{key} is {value!r}"[:38])
    else:
        assert line.startswith(f"{key} is {value!r}: ")
    assert may_be in line


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("vgg.Ours", "vgg.Ours is 'Ours': must match pattern '^[a-z0-9][a-z0-9-]*$'"),
        ("vgg.a.b", "vgg.a.b is 'a.b': must match pattern '^[a-z0-9][a-z0-9-]*$'"),
        (
            "vgg.a-folds",
            "vgg.a-folds is 'a-folds': must not end in -folds or -weighted, as the ensembles' "
            "names do",
        ),
        ("backbone.vgg19", "backbone.vgg19 is 'vgg19': must be 'resnet50' or 'vgg16'"),
    ],
)
def test_a_name_that_is_none_is_named(path, key, expected):
    section, _, name = key.partition(".")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content[section][name] = next(iter(content[section].values()))
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert lines_of(path) == [expected]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"export.recipe": "ours"},
            "export.recipe is 'ours', which is not in lenet; it has study",
        ),
        (
            {"resnet.study.features": "resnet-study"},
            "resnet.study.features is 'resnet-study', which is not in features; it has "
            "resnet50-study, vgg16-study",
        ),
        (
            {"vgg.study.features": "resnet50-study"},
            "vgg.study.features is 'resnet50-study', which are not vgg16's",
        ),
        (
            {"tune.units": 248},
            "lenet.study.units is 'tuned', but tune.units is one value, so it is not searched for; "
            "give a number here, or a choice there",
        ),
        (
            {"tune.learning_rate": 0.001},
            "lenet.study.learning_rate is 'tuned', but tune.learning_rate is one value, so it is "
            "not searched for; give a number here, or a choice there",
        ),
    ],
)
def test_sections_at_odds_are_named(path, changes, expected):
    set_params(path.parent, changes)
    assert lines_of(path) == [expected]


def test_features_without_their_backbone_are_named(path):
    take_out(path, "backbone.vgg16")
    assert lines_of(path) == [
        "features.vgg16-study.backbone is 'vgg16', which is not in backbone; it has resnet50"
    ]


WITHOUT_NAMES = {"data.source": "idx", "data.idx": IDX}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"vgg.study.warmup_epochs": 2}, "warmup_epochs needs a schedule; add `schedule: cosine`"),
        (
            {"vgg.study.warmup_epochs": 30, "vgg.study.schedule": "cosine"},
            "warmup_epochs must be below epochs (30)",
        ),
        ({"data.source": "idx"}, "source is 'idx', so a section idx with its four files is needed"),
        (WITHOUT_NAMES, "source is 'idx', so classes is needed, with the names of the labels"),
    ],
)
def test_a_section_at_odds_with_itself_is_named(path, changes, expected):
    set_params(path.parent, changes)
    (line,) = lines_of(path)
    assert line.startswith("data is {" if "data.source" in changes else "vgg.study is {")
    assert line.endswith(f": {expected}")


def test_a_bad_value_in_a_list_is_named_by_its_place(path):
    set_params(path.parent, {"tune.learning_rate": [0.01, "fast"]})
    assert lines_of(path) == ["tune.learning_rate.1 is 'fast': must be a valid number"]


def test_several_slips_have_a_line_each(path):
    set_params(path.parent, {"seed": -1, "clean.duplicates": "no", "vgg.study.epochs": 0})
    assert [line.partition(":")[0] for line in lines_of(path)] == [
        "seed is -1",
        "clean.duplicates is 'no'",
        "vgg.study.epochs is 0",
    ]


def test_several_sections_at_odds_have_a_line_each(path):
    set_params(path.parent, {"export.recipe": "ours", "tune.units": 8, "tune.learning_rate": 0.1})
    assert [line.split()[0] for line in lines_of(path)] == [
        "export.recipe",
        "lenet.study.units",
        "lenet.study.learning_rate",
    ]


def test_a_shell_sees_a_line_each(path):
    set_params(path.parent, {"seed": -1, "cv.folds": 1})
    finished = run_stage(path.parent, "params")
    assert finished.returncode == 1
    assert finished.stderr.splitlines() == [
        "params: error: params.yaml: seed is -1: must be greater than or equal to 0",
        "params.yaml: cv.folds is 1: must be a valid list",
    ]


@pytest.mark.parametrize("value", ["0" * 1000, 10**1000], ids=["text", "number"])
def test_a_long_value_is_cut_short(path, value):
    set_params(path.parent, {"seed": value})
    (line,) = lines_of(path)
    assert "000" in line
    assert "..." in line
    assert len(line) < 150


def test_a_missing_key_is_named(path):
    take_out(path, "vgg.study.epochs", "tune.units.step", "seed")
    assert lines_of(path) == [
        "seed is missing: add it",
        "tune.units.step is missing: add it",
        "vgg.study.epochs is missing: add it",
    ]


# Nine to the ninth values, should anything write them all out.
ALIASES = ["a: &a [1]"]
for before, after in zip("abcdefghi", "bcdefghij", strict=True):
    ALIASES.append(f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seed: [0", "is not valid YAML: while parsing a flow sequence"),
        ("seed: 0\n\tdata: 1", "is not valid YAML: while scanning"),
        ("seed: 2026-99-99", "is not valid YAML: month must be in 1..12"),
        (f"seed: {'9' * 5000}", "is not valid YAML: Exceeds the limit"),
        ("seed: !!python/object/apply:os.getcwd []", "is not valid YAML: could not determine a"),
        (
            "seed: !!bool x",
            "is not valid YAML: a value and its tag (!!) do not go together (KeyErr",
        ),
        ('seed: !!int ""', "(IndexError: string index out of range); take the tag out"),
        ("seed: !!timestamp x", "is not valid YAML: a value and its tag (!!) do not go together"),
        (f"seed: 0x{'f' * 4000}", "seed is a value of thousands of digits: must be less than 2147"),
        (f"seed: [0x{'f' * 4000}]", "seed is a value of thousands of digits: must be a valid int"),
        (f"seed: {'[' * 2000}", "is nested too deep"),
        ("", "the file is None: must be a section"),
        ("- seed", "the file is ['seed']: must be a section"),
        ("\n".join([*ALIASES, "seed: *j"]), "seed is [[[[["),
    ],
    ids=[
        *("bracket", "tab", "date", "number", "object", "no bool", "no int", "no timestamp"),
        *("hexadecimal", "hexadecimal in a list", "deep", "empty", "list", "aliases"),
    ],
)
def test_a_file_that_holds_no_params(path, text, expected):
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        params.load(path)
    lines = str(caught.value).splitlines()
    assert all(line.startswith(str(path)) for line in lines)
    assert any(expected in line for line in lines)
    assert max(map(len, lines)) < len(str(path)) + 300


def test_no_file(tmp_path):
    path = tmp_path / "params.yaml"
    assert message_of(params.load, path) == f"{path} is missing; run from the repository's root"
