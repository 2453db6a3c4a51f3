"""`dvc.yaml`, `params.yaml` and the scripts agree, and DVC runs what a change calls for only."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import networkx
import pytest
import yaml
from dvc.repo import Repo

from tools.demo import copy_project, set_params
from tests.imports import ROOT, imported_modules

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
PARAMS = yaml.safe_load((ROOT / "params.yaml").read_text())
FOLDS = [f"cv_lenet@study-{fold}" for fold in PARAMS["cv"]["folds"]]

LAST = ["export", "compare"]
LENET = ["tune", *FOLDS, *LAST]
RESNET = ["features@resnet50-study", "resnet@study", *LAST]
VGG = ["features@vgg16-study", "vgg@study", *LAST]
ALL_BUT_WEIGHTS = ["ingest", "clean", "eda", "encode", *LENET, *RESNET, *VGG]

# For every param: a new value, and the stages that DVC runs because of it.
RERUNS: dict[str, tuple[Any, list[str]]] = {
    "seed": (1, [*LENET, "resnet@study", "vgg@study"]),
    "data.source": ("digits", ALL_BUT_WEIGHTS),
    "data.csv.train": ("data/sample/test.csv", ALL_BUT_WEIGHTS),
    "data.csv.test": ("data/sample/train.csv", ALL_BUT_WEIGHTS),
    "clean.duplicates": ("keep", ALL_BUT_WEIGHTS[1:]),
    "tune.algorithm": ("random", LENET),
    "tune.objective": ("val_loss", LENET),
    "tune.units.min": (40, LENET),
    "tune.units.max": (256, LENET),
    "tune.units.step": (16, LENET),
    "tune.learning_rate": ([0.01], LENET),
    "tune.validation_split": (0.1, LENET),
    "tune.batch_size": (32, LENET),
    "tune.patience": (2, LENET),
    "tune.max_epochs": (5, LENET),
    "tune.factor": (2, LENET),
    "tune.hyperband_iterations": (2, LENET),
    "tune.max_trials": (5, LENET),
    "cv.folds": ([1, 2], ["cv_lenet@study-1", "cv_lenet@study-2", *LAST]),
    "lenet.study.units": (248, LENET),
    "lenet.study.learning_rate": (0.001, LENET),
    "lenet.study.epochs": (3, [*FOLDS, *LAST]),
    "lenet.study.batch_size": (32, [*FOLDS, *LAST]),
    "backbone.resnet50.weights": ("random", ["weights@resnet50", *RESNET]),
    "backbone.resnet50.layer": ("conv3_block4_out", ["weights@resnet50", *RESNET]),
    "backbone.vgg16.weights": ("random", ["weights@vgg16", *VGG]),
    "backbone.vgg16.layer": ("block4_pool", ["weights@vgg16", *VGG]),
    "features.resnet50.study.input_size": (48, RESNET),
    "features.resnet50.study.preprocessing": ("imagenet", RESNET),
    "features.resnet50.study.pooling": ("none", RESNET),
    "features.vgg16.study.input_size": (32, VGG),
    "features.vgg16.study.preprocessing": ("imagenet", VGG),
    "features.vgg16.study.pooling": ("avg", VGG),
    **{
        f"{head}.study.{key}": (value, [f"{head}@study", *LAST])
        for head in ("resnet", "vgg")
        for key, value in {
            "dense_units": 256,
            "dense_layers": 3,
            "learning_rate": 0.01,
            "epochs": 3,
            "batch_size": 32,
            "validation_split": 0.1,
        }.items()
    },
}


IN_GIT = ["models/lenet/hyperparameters.yaml", "models/lenet/best.keras"]


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
        changed = set(repo.status())
        graph = repo.index.graph
        names = {stage: stage.addressing for stage in graph}
        return {
            names[later]
            for stage in graph
            if names[stage] in changed
            # Edges lead from a stage to those whose outputs it reads.
            for later in {stage, *networkx.ancestors(graph, stage)}
        }


def test_nothing_would_run_without_a_change(up_to_date, monkeypatch):
    monkeypatch.chdir(up_to_date)
    assert would_run(up_to_date) == set()


def test_the_table_has_every_param():
    assert sorted(RERUNS) == sorted(leaves(PARAMS))


@pytest.mark.parametrize("name", RERUNS)
def test_a_changed_param_reruns_what_depends_on_it(up_to_date, monkeypatch, name):
    value, expected = RERUNS[name]
    monkeypatch.chdir(up_to_date)
    original = (up_to_date / "params.yaml").read_text()
    try:
        set_params(up_to_date, {name: value})
        assert would_run(up_to_date) == set(expected)
    finally:
        (up_to_date / "params.yaml").write_text(original)


def declared(stage: dict[str, Any]) -> set[str]:
    return {dependency for dependency in stage["deps"] if dependency.startswith("stages/")}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_its_script_and_on_all_that_this_imports(name):
    script = ROOT / "stages" / f"{name}.py"
    needed = {str(path.relative_to(ROOT)) for path in [script, *imported_modules(script)]}
    assert declared(STAGES[name]) == needed


def test_imports_are_followed_through_modules():
    """`clean` imports `files` itself, and `command` through `params` too."""
    found = {path.name for path in imported_modules(ROOT / "stages/clean.py")}
    assert found == {"command.py", "files.py", "images.py", "params.py"}


def test_a_template_counts_as_imported_by_the_module_that_names_it():
    found = {path.name for path in imported_modules(ROOT / "stages/compare.py")}
    assert {"report.py", "report.html.j2"} <= found


def test_the_report_shows_every_param_and_so_compare_declares_them_all():
    assert STAGES["compare"]["params"] == list(PARAMS)


def test_no_stage_imports_another():
    for name in STAGES:
        modules = imported_modules(ROOT / "stages" / f"{name}.py")
        assert {path.parent.name for path in modules} == {"common"}, name


@pytest.mark.parametrize("path", sorted((ROOT / "stages").rglob("__init__.py")), ids=str)
def test_package_files_hold_only_a_docstring(path):
    (statement,) = ast.parse(path.read_text()).body
    assert isinstance(statement, ast.Expr)


def sources_of(name: str) -> str:
    """All that a stage declares of Python, without the schema, which names every param."""
    paths = declared(STAGES[name]) - {"stages/common/params.py"}
    return "".join((ROOT / path).read_text() for path in sorted(paths))


# `compare` shows every param, as a whole.
@pytest.mark.parametrize("name", set(STAGES) - {"compare"})
def test_a_stage_reads_the_params_that_it_declares(name):
    """Each word of a declared param is named in the stage's modules."""
    sources = sources_of(name)
    for param in STAGES[name].get("params", []):
        for word in re.sub(r"\$\{[^}]*\}\.?", "", param).strip(".").split("."):
            assert re.search(rf"\b{word}\b", sources), (param, word)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_declares_the_params_that_it_reads(name):
    """By section: every `settings.SECTION`, and what stands for it elsewhere."""
    read = set(re.findall(r"(?:\bsettings|params\.load\(\))\.(\w+)", sources_of(name)))
    read |= {"backbone"} if "params.backbone(" in sources_of(name) else set()
    declared_sections = {param.partition(".")[0] for param in STAGES[name].get("params", [])}
    assert read & set(PARAMS) <= declared_sections


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_says_what_it_does(name):
    assert STAGES[name]["desc"]


@pytest.mark.parametrize(
    ("stage", "section"), [("cv_lenet", "lenet"), ("resnet", "resnet"), ("vgg", "vgg")]
)
def test_every_recipe_of_the_params_is_in_the_matrix(stage, section):
    assert STAGES[stage]["matrix"]["recipe"] == list(PARAMS[section])


def test_features_have_every_recipe():
    for backbone, recipes in PARAMS["features"].items():
        assert backbone in STAGES["features"]["matrix"]["backbone"]
        assert STAGES["features"]["matrix"]["recipe"] == list(recipes)


def test_what_git_keeps_is_not_cached_and_the_rest_is():
    """Metrics, plots and what is small of the models lie in Git; the rest in DVC's cache."""
    for name, stage in STAGES.items():
        for out in [*stage.get("outs", []), *stage.get("metrics", [])]:
            path, options = next(iter(out.items())) if isinstance(out, dict) else (out, {})
            in_git = path.startswith(("metrics/", "plots/", "models/cards")) or path in IN_GIT
            assert options.get("cache", True) != in_git, (name, path)


def test_stages_that_train_nothing_do_not_import_tensorflow():
    names = ["ingest", "clean", "eda", "encode", "export", "compare"]
    imports = "; ".join(f"import stages.{name}" for name in names)
    code = f"{imports}; import sys; sys.exit(bool({{'keras', 'tensorflow'}} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
