"""Which of the project's modules a stage's Python process would load."""

import ast
from pathlib import Path

from tests.project import ROOT

# A stage is a module, or a package with a `__main__.py`.
SCRIPTS = {path.stem: path for path in (ROOT / "stages").glob("*.py")} | {
    path.parent.name: path for path in (ROOT / "stages").glob("*/__main__.py")
}


def imported_modules(path: Path) -> set[Path]:
    """The files of `stages` that the module `path` imports, and those that they import, and so on.

    `__init__.py` files are left out: a test sees to it that they hold nothing but a docstring.
    """
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        for module in _direct(waiting.pop()) - found:
            found.add(module)
            waiting.append(module)
    return found


def _direct(path: Path) -> set[Path]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    paths = {ROOT / f"{name.replace('.', '/')}.py" for name in names if name.startswith("stages.")}
    return {file for file in paths if file.is_file()}
