"""`dvc.yaml`, `params.yaml` and the scripts agree, and DVC runs what a change calls for only."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import networkx
import pytest
import yaml
from dvc.dependency import ParamsDependency
from dvc.repo import Repo
from dvc.stage import Stage

from stages import params
from tests.imports import SCRIPTS, imported_modules
from tests.project import ROOT, copy_project, set_params

FILE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
# A stage that DVC makes one item each of has its body under `do`.
STAGES: dict[str, dict[str, Any]] = {
    name: stage.get("do", stage) for name, stage in FILE["stages"].items()
}
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
FOLDS = PARAMS["cv"]["folds"]

LAST = ["misclassified", "compare", "report"]


def lenet(recipe: str) -> list[str]:
    exported = [f"export@{fold}" for fold in FOLDS] if recipe == PARAMS["export"]["recipe"] else []
    stages = [f"{stage}@{recipe}-{fold}" for stage in LENET_STAGES for fold in FOLDS]
    return [*stages, *exported, *LAST]


def head(name: str, recipe: str) -> list[str]:
    return [f"{name}@{recipe}", f"evaluate_{name}@{recipe}", *LAST]


LENET_STAGES = ("cv_lenet", "evaluate_lenet")
ALL_LENET = [stage for recipe in PARAMS["lenet"] for stage in lenet(recipe)]
HEADS = {
    (name, recipe): PARAMS[name][recipe] for name in ("resnet", "vgg") for recipe in PARAMS[name]
}
ALL_HEADS = [stage for name, recipe in HEADS for stage in head(name, recipe)]
ALL_FEATURES = [f"features@{name}" for name in PARAMS["features"]]
AFTER_CLEAN = ["eda", "encode", "tune", *ALL_LENET, *ALL_FEATURES, *ALL_HEADS]


def of_features(name: str) -> list[str]:
    """The stages after the features `name`, and these."""
    readers = [key for key, recipe in HEADS.items() if recipe["features"] == name]
    return [f"features@{name}", *(stage for key in readers for stage in head(*key))]


def of_backbone(backbone: str) -> list[str]:
    names = [n for n, recipe in PARAMS["features"].items() if recipe["backbone"] == backbone]
    return [f"weights@{backbone}", *(stage for name in names for stage in of_features(name))]


# For every param: a new value, and the stages that DVC runs because of it.
RERUNS: dict[str, tuple[Any, list[str]]] = {
    "seed": (1, ["tune", *ALL_LENET, *ALL_HEADS]),
    "data.source": ("sample", ["ingest", "clean", *AFTER_CLEAN]),
    # Only `ingest` needs the files, and only what names classes `classes`; but all that read `data`
    # declare it as a whole, for a data set is changed whole.
    "data.idx": (
        {
            f"{split}_{kind}": {"path": kind, "sum": f"md5:{'0' * 32}"}
            for split in ("train", "test")
            for kind in ("images", "labels")
        },
        ["ingest", "clean", *AFTER_CLEAN],
    ),
    "data.classes": ([f"class {label}" for label in range(10)], ["ingest", "clean", *AFTER_CLEAN]),
    "data.csv.train": ("data/sample/test.csv", ["ingest", "clean", *AFTER_CLEAN]),
    "data.csv.test": ("data/sample/train.csv", ["ingest", "clean", *AFTER_CLEAN]),
    "clean.duplicates": ("keep", ["clean", *AFTER_CLEAN]),
    **{
        f"tune.{key}": (value, ["tune", *ALL_LENET])
        for key, value in {
            "algorithm": "random",
            "objective": "val_loss",
            "units.min": 40,
            "units.max": 256,
            "units.step": 16,
            "learning_rate": [0.01],
            "validation_split": 0.1,
            "batch_size": 32,
            "patience": 2,
            "max_epochs": 5,
            "factor": 2,
            "hyperband_iterations": 2,
            "max_trials": 5,
        }.items()
    },
    "cv.folds": (
        [1, 2],
        [
            *(
                f"{stage}@{recipe}-{fold}"
                for stage in LENET_STAGES
                for recipe in PARAMS["lenet"]
                for fold in (1, 2)
            ),
            *("export@1", "export@2", *LAST),
        ],
    ),
    "export.recipe": ("other", [*(f"export@{fold}" for fold in FOLDS), "compare", "report"]),
    **{
        f"backbone.{name}.{key}": (value, of_backbone(name))
        for name, layer in (("resnet50", "conv3_block4_out"), ("vgg16", "block4_pool"))
        for key, value in {"weights": "random", "layer": layer}.items()
    },
    # These name another section, and so change the graph too.
    **{
        f"features.{name}.backbone": (
            next(backbone for backbone in PARAMS["backbone"] if backbone != recipe["backbone"]),
            of_features(name),
        )
        for name, recipe in PARAMS["features"].items()
    },
    **{
        f"{name}.{key}.features": (
            next(features for features in PARAMS["features"] if features != recipe["features"]),
            head(name, key),
        )
        for (name, key), recipe in HEADS.items()
    },
}
NEW_VALUES = {
    "lenet": {
        "units": 100,
        "learning_rate": 0.005,
        "epochs": 3,
        "batch_size": 32,
        "batch_normalization": True,
        "dropout": 0.35,
        "flip": True,
        "shift": 3,
        "erasing": 0.15,
        "weight_decay": 0.005,
        "label_smoothing": 0.15,
        "schedule": "cosine",
        "warmup_epochs": 1,
        "ema_momentum": 0.95,
        "precision": "mixed_float16",
        "average_mirrored": True,
        "average_shifted": 3,
        "seed": 5,
        "seed_by_fold": True,
    },
    "features": {
        "input_size": 40,
        "preprocessing": "imagenet",
        "pooling": "avg_2x2",
        "layers": ["conv1_relu"],
        "mirrored": True,
        "precision": "mixed_float16",
    },
    "head": {
        "dense_units": 300,
        "dense_layers": 3,
        "learning_rate": 0.01,
        "epochs": 3,
        "batch_size": 32,
        "validation_split": 0.1,
        "standardise": True,
        "input_dropout": 0.15,
        "dropout": 0.35,
        "weight_decay": 0.005,
        "label_smoothing": 0.15,
        "schedule": "cosine",
        "warmup_epochs": 1,
        "ema_momentum": 0.95,
        "precision": "mixed_float16",
    },
}
# Every key of every recipe, those that no recipe sets too.
OF_RECIPES = [
    *((f"lenet.{name}", "lenet", recipe, lenet(name)) for name, recipe in PARAMS["lenet"].items()),
    *(
        (f"features.{name}", "features", recipe, of_features(name))
        for name, recipe in PARAMS["features"].items()
    ),
    *((f"{name}.{key}", "head", recipe, head(name, key)) for (name, key), recipe in HEADS.items()),
]
for section, kind, recipe, stages in OF_RECIPES:
    for key, value in NEW_VALUES[kind].items():
        # Without a value is another value than the one that it has.
        RERUNS[f"{section}.{key}"] = (None if recipe.get(key) == value else value, stages)


def leaves(section: dict[str, Any], prefix: str = "") -> list[str]:
    return [
        name
        for key, value in section.items()
        for name in (
            leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
        )
    ]


@pytest.fixture(scope="module")
def up_to_date(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project that DVC takes for one whose every stage has run."""
    folder = tmp_path_factory.mktemp("up_to_date")
    copy_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        with Repo(str(folder)) as repo:
            for out in (out for stage in repo.index.stages for out in stage.outs):
                path = Path(out.fs_path)
                if path.suffix:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(path.name)
                else:
                    path.mkdir(parents=True)
                    (path / "file").write_text(path.name)
            repo.commit(force=True)
    return folder


def would_run(folder: Path) -> set[str]:
    """The stages that are out of date, and everything that comes after them."""
    with Repo(str(folder)) as repo:
        graph = repo.index.graph
        changed = set(repo.status())
        return after(graph, [stage for stage in graph if stage.addressing in changed])


def after(graph: networkx.DiGraph, stages: list[Stage]) -> set[str]:
    """`stages`, and all that read what they write, and so on."""
    # Edges lead from a stage to those whose outputs it reads.
    return {
        later.addressing for stage in stages for later in {stage, *networkx.ancestors(graph, stage)}
    }


def declares(stage: Stage, name: str) -> bool:
    """Whether one of the params of `stage` is the param `name`, or a section around it."""
    declared = [
        param for dep in stage.deps if isinstance(dep, ParamsDependency) for param in dep.params
    ]
    return any(f"{name}.".startswith(f"{param}.") for param in declared)


@pytest.fixture(scope="module")
def graph() -> networkx.DiGraph:
    with Repo(str(ROOT)) as repo:
        return repo.index.graph


@pytest.fixture
def edited(up_to_date: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same, entered, for edits of params and scripts that are undone afterwards."""
    monkeypatch.chdir(up_to_date)
    files = [up_to_date / "params.yaml", *(up_to_date / "stages").rglob("*.py")]
    before = {path: path.read_bytes() for path in files}
    yield up_to_date
    for path, content in before.items():
        if path.read_bytes() != content:
            path.write_bytes(content)


def test_nothing_would_run_without_a_change(edited):
    with Repo(".") as repo:
        assert repo.status() == {}
    assert would_run(edited) == set()


def test_the_table_has_every_param():
    assert set(leaves(PARAMS)) <= set(RERUNS)


def test_the_table_has_every_key_that_the_schema_admits():
    """Those too that `params.yaml` leaves out."""

    def keys(section: type[params.Section], prefix: str) -> list[str]:
        return [f"{prefix}.{key}" for key in section.model_fields]

    admitted = keys(params.Data, "data") + keys(params.Clean, "clean") + keys(params.Tune, "tune")
    admitted += keys(params.CrossValidation, "cv") + keys(params.Export, "export")
    for recipes, section in (
        ("lenet", params.LenetRecipe),
        ("backbone", params.Backbone),
        ("features", params.FeaturesRecipe),
        ("resnet", params.HeadRecipe),
        ("vgg", params.HeadRecipe),
    ):
        for name in PARAMS[recipes]:
            admitted += keys(section, f"{recipes}.{name}")
    for name in admitted:
        assert any(f"{key}.".startswith(f"{name}.") for key in RERUNS), name
    assert set(PARAMS) == set(params.Params.model_fields)


@pytest.mark.parametrize("name", RERUNS)
def test_a_changed_param_reruns_what_depends_on_it(graph, name):
    """By the params that each stage declares, for to ask DVC takes a second."""
    if name not in CHANGES_THE_GRAPH:
        assert after(graph, [stage for stage in graph if declares(stage, name)]) == set(
            RERUNS[name][1]
        )


CHANGES_THE_GRAPH = [
    *("cv.folds", "data.csv.train", "data.csv.test", "export.recipe"),
    *("features.resnet50-study.backbone", "resnet.study.features"),
]
ONE_OF_EACH_SECTION = list({name.partition(".")[0]: name for name in RERUNS}.values())


@pytest.mark.parametrize(
    "name",
    [
        *CHANGES_THE_GRAPH[:3],
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in dict.fromkeys([*CHANGES_THE_GRAPH, *ONE_OF_EACH_SECTION])
            if name not in CHANGES_THE_GRAPH[:3]
        ),
    ],
)
def test_dvc_says_so_too(edited, name):
    value, expected = RERUNS[name]
    set_params(edited, {name: value})
    assert would_run(edited) == set(expected)


def test_a_new_optional_key_in_the_schema_runs_nothing(edited):
    schema = edited / "stages/params.py"
    schema.write_text(
        schema.read_text().replace(
            "    standardise: bool | None = None\n",
            "    standardise: bool | None = None\n    a_new_one: float | None = None\n",
        )
    )
    assert "a_new_one" in schema.read_text()
    assert would_run(edited) == set()
    set_params(edited, {"resnet.study.a_new_one": 0.5})
    assert would_run(edited) == set(head("resnet", "study"))


def test_a_second_recipe_is_an_edit_of_the_params_alone(edited):
    study = {name: dict(PARAMS[name]["study"]) for name in ("lenet", "resnet", "vgg")}
    set_params(edited, {f"{name}.second": recipe for name, recipe in study.items()})
    new = {
        *(f"{stage}@second-{fold}" for stage in LENET_STAGES for fold in FOLDS),
        *("resnet@second", "evaluate_resnet@second", "vgg@second", "evaluate_vgg@second"),
    }
    with Repo(".") as repo:
        names = {stage.addressing for stage in repo.index.stages}
    assert new <= names
    assert would_run(edited) == {*new, *LAST}


def test_an_edit_of_the_evaluation_trains_nothing(edited):
    with (edited / "stages/results/evaluation.py").open("a") as file:
        file.write("# another metric\n")
    trained = {f"evaluate_lenet@{r}-{f}" for r in PARAMS["lenet"] for f in FOLDS}
    trained |= {f"evaluate_{name}@{recipe}" for name, recipe in HEADS}
    assert would_run(edited) == {*trained, *LAST}


# What nobody depends on, and why.
NOBODYS = {
    "stages/cli.py": "it starts a stage and tells its errors, and makes none of its output",
    "stages/params.py": "the values arrive through DVC's params; what they mean is not in it",
}
MODULES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "stages").rglob("*.py")
    if path.name != "__init__.py"
)


@cache
def loaded() -> dict[str, set[Path]]:
    """By stage, as `dvc.yaml` names it: its script, and all that this imports."""
    scripts = {stage: script_of(stage) for stage in STAGES}
    return {stage: {path, *imported_modules(path)} for stage, path in scripts.items()}


def importing(name: str) -> list[str]:
    """The stages that the file `name` is loaded by; `report` has a whole folder for its script."""
    path = ROOT / name
    return [
        stage
        for stage, files in loaded().items()
        if path in files or (stage == "report" and path.parent.name == "report")
    ]


def test_every_script_and_module_is_somebodys():
    assert [name for name in MODULES if not importing(name)] == []
    assert set(NOBODYS) < set(MODULES)


@pytest.mark.long
@pytest.mark.parametrize("name", MODULES)
def test_an_edit_reruns_what_loads_the_file(edited, name):
    """As DVC says, of every script and shared module in turn."""
    users = [] if name in NOBODYS else importing(name)
    with Repo(".") as repo:
        graph = repo.index.graph
        loading = [stage for stage in graph if stage.addressing.partition("@")[0] in users]
        expected = after(graph, loading)
    with (edited / name).open("a") as file:
        file.write("# an edit\n")
    assert would_run(edited) == expected
    assert bool(expected) != (name in NOBODYS)


def test_stage_names():
    """DVC's matrix takes a section of the params, whose keys it iterates: it does not say so."""
    with Repo(str(ROOT)) as repo:
        names = {stage.addressing for stage in repo.index.stages}
    assert names == {
        *("ingest", "clean", "eda", "encode", "tune", *LAST),
        *(
            f"{stage}@{r}-{fold}"
            for stage in LENET_STAGES
            for r in PARAMS["lenet"]
            for fold in FOLDS
        ),
        *(f"export@{fold}" for fold in FOLDS),
        *(f"weights@{name}" for name in PARAMS["backbone"]),
        *ALL_FEATURES,
        *(f"{prefix}{name}@{recipe}" for name, recipe in HEADS for prefix in ("", "evaluate_")),
    }


def paths(stage: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """What a stage names under `kind`, with its options."""
    items = (item if isinstance(item, dict) else {item: {}} for item in stage.get(kind, []))
    return {path: options for item in items for path, options in item.items()}


TRAININGS = ["tune", "cv_lenet", "resnet", "vgg"]


@pytest.mark.parametrize("name", TRAININGS)
def test_no_training_depends_on_the_test_set(name):
    """Nor on what was made of it: only `encode` and `features`, which split it off, read it."""
    splitting = {"ingest", "clean", "encode", "features", "weights"}
    writers = {path: stage for stage, body in STAGES.items() for path in paths(body, "outs")}
    writers |= {path: stage for stage, body in STAGES.items() for path in paths(body, "metrics")}
    waiting, seen = [name], set()
    while waiting:
        stage = waiting.pop()
        seen.add(stage)
        if stage not in splitting:
            for dependency in STAGES[stage]["deps"]:
                assert not dependency.endswith("/test"), (stage, dependency)
                assert not dependency.startswith(("data/raw", "data/clean")), (stage, dependency)
                if dependency in writers:
                    waiting.append(writers[dependency])
    assert seen <= splitting | set(TRAININGS)


@pytest.mark.parametrize("name", TRAININGS)
def test_dvc_keeps_every_training_in_its_run_cache(name):
    """It does unless an output is persisted, or is neither cached nor a metric or plot."""
    for path, options in paths(STAGES[name], "outs").items():
        assert options.get("cache", True), path
    for kind in ("outs", "metrics", "plots"):
        for path, options in paths(STAGES[name], kind).items():
            assert not options.get("persist", False), path


def test_what_git_keeps_is_not_cached_and_stays_when_a_stage_fails():
    """Metrics, plots and what is small of the models lie in Git; the rest in DVC's cache."""
    for name, stage in STAGES.items():
        for kind in ("outs", "metrics", "plots"):
            for path, options in paths(stage, kind).items():
                git = path.startswith(("metrics/", "plots/", "models/cards", "models/exported"))
                assert options.get("cache", True) != git, (name, path)
                if git and name not in ("tune", "clean"):
                    assert options.get("persist"), (name, path)


def test_no_stage_depends_on_a_folder_that_holds_some_of_the_caches():
    """A failed `dvc pull` leaves such a folder empty, which counts as changed."""
    cached = [
        path
        for stage in STAGES.values()
        for path, options in paths(stage, "outs").items()
        if options.get("cache", True)
    ]
    for name, stage in STAGES.items():
        for dependency in stage["deps"]:
            inside = [path for path in cached if path.startswith(f"{dependency}/")]
            assert inside == [], (name, dependency)


def declared(stage: dict[str, Any]) -> set[str]:
    return {dependency for dependency in stage["deps"] if dependency.startswith("stages/")}


def script_of(name: str) -> Path:
    module = re.match(r"python -m stages\.(\w+)", STAGES[name]["cmd"])[1]
    return SCRIPTS[module]


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_its_script_and_on_all_that_this_imports(name):
    script = script_of(name)
    needed = {str(path.relative_to(ROOT)) for path in [script, *imported_modules(script)]}
    needed -= {"stages/cli.py", "stages/params.py"}
    if name == "report":  # a folder with its templates
        needed = {path for path in needed if not path.startswith("stages/report/")}
        needed |= {"stages/report"}
    assert declared(STAGES[name]) == needed


def test_imports_are_followed_through_modules():
    """`clean` imports `files` itself, and through `images` too."""
    found = {path.name for path in imported_modules(ROOT / "stages/clean.py")}
    assert found == {"cli.py", "files.py", "images.py", "params.py"}


def test_the_report_shows_every_param_and_so_declares_them_all():
    assert STAGES["report"]["params"] == list(PARAMS)


def test_no_stage_imports_another():
    for name in STAGES:
        modules = imported_modules(script_of(name))
        folders = {path.parent.name for path in modules} - {"common", "sources"}
        assert folders <= {"stages", "report"}, name
        assert {path.name for path in modules if path.parent.name == "stages"} <= {
            "cli.py",
            "params.py",
        }


@pytest.mark.parametrize("path", sorted((ROOT / "stages").rglob("__init__.py")), ids=str)
def test_package_files_hold_only_a_docstring(path):
    (statement,) = ast.parse(path.read_text()).body
    assert isinstance(statement, ast.Expr)


def sources_of(name: str) -> str:
    """All Python that a stage declares."""
    files = [ROOT / path for path in sorted(declared(STAGES[name])) if path.endswith(".py")]
    return "".join(path.read_text() for path in files)


# `report` shows every param, as a whole.
@pytest.mark.parametrize("name", set(STAGES) - {"report"})
def test_a_stage_declares_the_params_that_it_reads(name):
    """By section: every `settings.SECTION`."""
    read = set(re.findall(r"(?:\bsettings|params\.load\(\))\.(\w+)", sources_of(name)))
    declared_sections = {param.partition(".")[0] for param in STAGES[name].get("params", [])}
    assert read & set(PARAMS) <= declared_sections


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_says_what_it_does(name):
    assert STAGES[name]["desc"]


def test_stages_that_train_nothing_do_not_import_tensorflow():
    names = ["ingest", "clean", "eda", "encode", "export", "misclassified", "compare", "report"]
    imports = "; ".join(f"import stages.{name}" for name in names)
    code = f"{imports}; import sys; sys.exit(bool({{'keras', 'tensorflow'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
