"""The machine on which a figure was measured."""

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

PACKAGES = ("tensorflow", "keras", "jax", "torch", "numpy", "dvc")
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


def describe() -> dict[str, Any]:
    """Processor, cores, memory, versions, and what of its instructions matters here."""
    return {
        "processor": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "family_and_model": f"{_cpuinfo('cpu family')} {_cpuinfo('model')}".strip(),
        "gpus": _gpus(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "flags": [flag for flag in FLAGS if flag in _cpuinfo("flags").split()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "nice": os.nice(0),
        "packages": {name: _version(name) for name in PACKAGES},
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(("TF_NUM", "TF_XLA", "XLA_", "ONEDNN_", "OMP_", "MKL_"))
        },
    }


def load_average() -> float:
    """How many processes ran or waited, on average over the last minute."""
    return round(os.getloadavg()[0], 2)


def _cpuinfo(name: str) -> str:
    path = Path("/proc/cpuinfo")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = re.search(rf"^{name}\s*: (.*)$", text, re.MULTILINE)
    return found[1] if found else ""


def _gpus() -> list[str]:
    if not shutil.which("nvidia-smi"):
        return []
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
