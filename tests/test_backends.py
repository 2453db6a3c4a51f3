"""Any of Keras's backends does the work; the demo that the other tests share has TensorFlow."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.base.files import read_json
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
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": backend},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
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
