"""Which of the project's files a stage's Python process would load: modules and templates."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent


def imported_modules(path: Path) -> set[Path]:
    """The files of `stages` that the module `path` imports, and those that they import, and so on.

    A template (.j2) counts as imported by the module beside it that names it.
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
    if path.suffix != ".py":
        return set()
    names, templates = set(), set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Constant) and str(node.value).endswith(".j2"):
            templates.add(path.parent / node.value)
    paths = {ROOT / f"{name.replace('.', '/')}.py" for name in names if name.startswith("stages.")}
    return {file for file in paths | templates if file.is_file()}
