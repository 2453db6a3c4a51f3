"""Any of Keras's backends does the work; the demo that the other tests share has TensorFlow."""

import importlib.util
from pathlib import Path

import pytest

from stages.base.files import read_json
from tests.helpers import run_python
from tests.project import ROOT

BACKENDS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(name) is None, reason=f"{name} is not installed"
        ),
    )
    for name in ("jax", "torch")
]


def run(backend: str, *words: str) -> str:
    """What a command prints that ends well."""
    done = run_python(ROOT, "-m", *words, KERAS_BACKEND=backend)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_demo_passes(tmp_path: Path, backend: str):
    folder = tmp_path / "demo"
    run(backend, "tools.demo", str(folder))
    for fold in (1, 2):
        metrics = read_json(folder / f"metrics/lenet/study/{fold}/metrics.json")
        assert metrics["test_accuracy"] > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_prediction_names_the_class(backend: str):
    assert "png: Ankle boot" in run(backend, "tools.predict", "docs/ankle_boot.png")
