"""`dvc.yaml`, `params.yaml` and the scripts agree, and DVC runs what a change calls for only."""

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import networkx
import pytest
from dvc.repo import Repo

from stages.base.files import read_yaml
from stages.catalog import HEADS, NETWORKS
from stages.params import Params
from tests.imports import FROM_SCRATCH, TRAININGS, Declared, declared, graph, loaded
from tests.project import ROOT, copy_project, set_params
from tests.schema import keys

pytestmark = pytest.mark.radius

PARAMS = read_yaml(ROOT / "params.yaml")
KEYS = {key.name: key for key in keys(PARAMS)}
STAGES = declared()


def named(*patterns: str, among: Iterable[str] = STAGES) -> set[str]:
    """The stages whose name, or what it has before the @, is one of the regular expressions."""
    return {name for name in among for pattern in patterns if re.match(f"{pattern}(@|$)", name)}


def readers(key: str, among: Iterable[str] = STAGES) -> set[str]:
    """The stages that have to run because of a change of the param, before all that follow them.

    `cv.folds` numbers the trainings and cuts the images, and DVC cannot know which heads have just
    one.
    """
    section, name, *_ = [*key.split("."), ""]
    first = {
        "seed": TRAININGS,
        "data": ["ingest"],
        "clean": ["clean"],
        "tune": ["tune"],
        "cv": [training for training in TRAININGS if training != "tune"],
        "export": ["export", "compare"],
        "backbone": [f"weights@{name}"],
        "features": [f"features@{name}"],
    }
    first |= {network: [rf"cv_{network}@{name}-\d+"] for network in FROM_SCRATCH}
    first |= {head: [f"{head}@{name}"] for head in HEADS}
    return named(*first[section], among=among)


def after(stages: set[str], graph: networkx.DiGraph) -> set[str]:
    """`stages`, and all that read what they write, and so on."""
    return stages.union(*(networkx.ancestors(graph, stage) for stage in stages))


def would_run(folder: Path) -> set[str]:
    """The stages that are out of date, and everything that comes after them."""
    with Repo(str(folder)) as repo:
        return after(set(repo.status()), graph(repo))


@pytest.fixture(scope="module")
def graph_in_git() -> networkx.DiGraph:
    with Repo(str(ROOT)) as repo:
        return graph(repo)


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


@pytest.mark.parametrize("name", KEYS)
def test_a_param_is_declared_by_what_depends_on_it(graph_in_git, name):
    """Those keys too that `params.yaml` leaves out. The report shows all, so it declares all."""
    declaring = {stage.name for stage in STAGES.values() if stage.declares(name)}
    assert after(declaring, graph_in_git) == after(readers(name), graph_in_git) | {"report"}


# These name other stages or their inputs, and so change the graph.
NAMING = ["cv.folds", "data.csv.train", "features.resnet50-study.backbone"]
OTHERS = [
    "export.recipe",
    "resnet.study.features",
    *{k.partition(".")[0]: k for k in KEYS}.values(),
]


@pytest.mark.parametrize(
    "name",
    [
        *NAMING,
        *(pytest.param(name, marks=pytest.mark.long) for name in sorted({*OTHERS} - {*NAMING})),
    ],
)
def test_dvc_runs_what_depends_on_a_changed_param(edited, name):
    set_params(edited, {name: KEYS[name].others(PARAMS)[0]})
    with Repo(str(edited)) as repo:
        changed = graph(repo)
    assert would_run(edited) == after(readers(name, among=changed), changed) | {"report"}


def test_a_new_optional_key_in_the_schema_runs_nothing(edited, graph_in_git):
    schema = edited / "stages/params.py"
    line = "    standardise: bool | None = "
    new = "    a_new_one: float | None = None\n"
    assert schema.read_text().count(line) == 1
    schema.write_text(schema.read_text().replace(line, new + line))
    assert would_run(edited) == set()
    set_params(edited, {"resnet.study.a_new_one": 0.5})
    assert would_run(edited) == after({"resnet@study"}, graph_in_git)


def test_a_second_recipe_is_an_edit_of_the_params_alone(edited):
    first = {network: next(iter(PARAMS[network].values())) for network in NETWORKS}
    set_params(edited, {f"{network}.second": recipe for network, recipe in first.items()})
    folds = [f"{network}@second-{n}" for network in FROM_SCRATCH for n in PARAMS["cv"]["folds"]]
    assert would_run(edited) == {
        *(f"{prefix}_{fold}" for fold in folds for prefix in ("cv", "evaluate")),
        *(f"{prefix}{head}@second" for head in HEADS for prefix in ("", "evaluate_")),
        *("misclassified", "compare", "report"),
    }


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_stage_depends_on_its_script_and_on_all_that_this_imports(stage):
    """On each file or a folder around it, and on no folder of which it imports nothing."""
    modules = loaded(stage.script)
    assert [name for name in modules if not stage.depends_on(name)] == []
    code = [dep for dep in stage.deps if dep.startswith("stages/")]
    assert [dep for dep in code if not any(f"{m}/".startswith(f"{dep}/") for m in modules)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "stages").rglob("__init__.py")), ids=str)
def test_package_files_hold_only_a_docstring(path):
    (statement,) = ast.parse(path.read_text()).body
    assert isinstance(statement, ast.Expr)


def sections_read(stage: Declared) -> set[str]:
    """The sections of the params for which its code asks."""
    code = "".join((ROOT / name).read_text() for name in loaded(stage.script))
    sections = set(re.findall(r"\b(?:settings|params\.load\(\))\.(\w+)", code))
    if re.search(r"\bgetattr\(settings, (network|head)\)", code):
        sections |= set(stage.arguments) & set(NETWORKS) or set(NETWORKS)
    if "params.trainings(" in code:
        sections.add("cv")
    return sections & set(Params.model_fields)


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_a_stage_declares_the_params_that_it_reads(stage):
    """By section, and no others."""
    sections = {name.partition(".")[0] for name in stage.params}
    assert sections == (set(PARAMS) if stage.name == "report" else sections_read(stage))


def test_what_git_keeps_is_not_cached_and_stays_when_a_stage_fails():
    """Metrics, plots and what is small of the models lie in Git; the rest in DVC's cache."""
    for stage in STAGES.values():
        for out in stage.outs:
            git = out.def_path.startswith(("metrics", "plots", "models/cards", "models/exported"))
            assert out.use_cache != git, out
            # `clean` is cached as a whole, and what it says of the data is made anew with it.
            assert out.persist == (git and stage.name != "clean"), out


def test_git_ignores_what_the_cache_keeps():
    """Beforehand: a run that fails can take the lines out again that DVC wrote during it."""
    cached = {out.def_path for stage in STAGES.values() for out in stage.outs if out.use_cache}
    command = ["git", "check-ignore", "--no-index", *cached]
    ignored = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert set(ignored.split()) == cached


def test_no_stage_depends_on_a_folder_that_holds_some_of_the_caches():
    """A failed `dvc pull` leaves such a folder empty, which counts as changed."""
    cached = [out.def_path for stage in STAGES.values() for out in stage.outs if out.use_cache]
    for stage in STAGES.values():
        inside = [path for path in cached for dep in stage.deps if path.startswith(f"{dep}/")]
        assert inside == [], stage.name
