"""What the stages of `dvc.yaml` declare, and which modules their Python process loads."""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import networkx
from dvc.dependency import ParamsDependency
from dvc.output import Output
from dvc.repo import Repo
from dvc.stage import Stage

from stages.catalog import HEADS, NETWORKS
from tests.project import ROOT

FROM_SCRATCH = tuple(name for name in NETWORKS if name not in HEADS)
# Stages, but for what follows the @.
TRAININGS = ("tune", *(f"cv_{name}" for name in FROM_SCRATCH), *HEADS)
# What no stage depends on, and why.
NOBODYS = {
    "stages/catalog.py": "what a stage makes of a row follows from its own modules and params",
    "stages/cli.py": "it starts a stage and tells its errors, and makes none of its output",
    "stages/contradictions.py": "it refuses params, and changes none",
    "stages/params.py": "the values arrive through DVC's params; what they mean is not in it",
}


@dataclass(frozen=True)
class Declared:
    """A stage as DVC resolves it, `resnet@study`, say.

    deps: but for params; params: dotted names.
    """

    name: str
    script: Path
    arguments: list[str]
    deps: set[str]
    params: set[str]
    outs: list[Output]

    def depends_on(self, name: str) -> bool:
        """Whether the file `name` is a dep, or lies in one."""
        return any(f"{name}/".startswith(f"{dep}/") for dep in self.deps)

    def declares(self, param: str) -> bool:
        """Whether the param, or a section around it, is declared."""
        return any(f"{param}.".startswith(f"{name}.") for name in self.params)


@cache
def declared() -> dict[str, Declared]:
    """The stages of this repository, by name."""
    with Repo(str(ROOT)) as repo:
        return {stage.addressing: _declared(stage) for stage in repo.index.stages}


def graph(repo: Repo) -> networkx.DiGraph:
    """The names of the stages. Edges lead from a stage to those whose outputs it reads."""
    return networkx.relabel_nodes(repo.index.graph, lambda stage: stage.addressing)


def _declared(stage: Stage) -> Declared:
    module, *arguments = re.fullmatch(r"python -m stages\.(.*)", stage.cmd)[1].split()
    script = ROOT / "stages" / f"{module}.py"
    deps = {dep.def_path for dep in stage.deps if not isinstance(dep, ParamsDependency)}
    params = [dep.params for dep in stage.deps if isinstance(dep, ParamsDependency)]
    return Declared(
        name=stage.addressing,
        script=script if script.is_file() else ROOT / "stages" / module / "__main__.py",
        arguments=arguments,
        deps=deps,
        params={name for names in params for name in names},
        outs=stage.outs,
    )


@cache
def loaded(script: Path) -> set[str]:
    """The files in `stages/` that `script` and its imports are, and that a stage can depend on.

    `__init__.py` files are left out: a test sees to it that they hold nothing but a docstring.
    """
    files, waiting = {script}, [script]
    while waiting:
        new = _imported(waiting.pop()) - files
        files |= new
        waiting += new
    return {str(path.relative_to(ROOT)) for path in files} - set(NOBODYS)


def _imported(path: Path) -> set[Path]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    paths = {ROOT / f"{name.replace('.', '/')}.py" for name in names if name.startswith("stages.")}
    return {file for file in paths if file.is_file()}
