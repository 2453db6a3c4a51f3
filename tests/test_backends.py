"""Any of Keras's backends does the work; the demo that the other tests share has TensorFlow."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.base.files import read_json
from tests import project


@pytest.mark.long
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_demo_passes(tmp_path: Path, backend: str):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; `make bench` brings it")
    folder = tmp_path / "demo"
    done = subprocess.run(
        [sys.executable, "-m", "tools.demo", str(folder)],
        cwd=project.ROOT,
        env=os.environ | {"KERAS_BACKEND": backend},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    for fold in (1, 2):
        metrics = read_json(folder / f"metrics/lenet/study-{fold}/metrics.json")
        assert metrics["test_accuracy"] > 0.7


@pytest.mark.slow
def test_what_pytorch_cannot_do_is_one_error(tmp_path: Path):
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed; `make bench` brings it")

    done = subprocess.run(
        [sys.executable, "-m", "tools.predict", "docs/ankle_boot.png"],
        cwd=project.ROOT,
        env=os.environ | {"KERAS_BACKEND": "torch"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout
    assert "let KERAS_BACKEND be tensorflow or jax" in done.stderr
    assert "Traceback" not in done.stderr
