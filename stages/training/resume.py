"""A place for unfinished work that survives an interruption."""

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(".work")


def folder(name: str, settings: dict[str, Any], inputs: list[Path]) -> Path:
    """An ignored folder that the same work finds again, and that no other work uses.

    Its name has a digest of `settings`, of Keras's backend, of the content of the files `inputs`,
    and of the project's modules that are loaded: with another param, input, script or backend the
    work starts afresh. DVC deletes a stage's outputs before it runs, so unfinished work must lie
    elsewhere. The caller deletes the folder once its outputs are written.
    """
    identity = {**settings, "backend": os.environ.get("KERAS_BACKEND")}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
    modules = [
        Path(module.__file__)
        for name, module in sys.modules.items()
        if name == "__main__" or name.startswith("stages.")
        if getattr(module, "__file__", None)
    ]
    for path in [*inputs, *sorted(set(modules))]:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return ROOT / name / digest.hexdigest()[:16]
