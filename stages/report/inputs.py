"""What the report reads. All of it lies in Git, so a clone without DVC's cache can write it."""

from pathlib import Path

import pandas as pd

from stages.cli import InputError

CLEANING = Path("metrics/clean.json")
HYPERPARAMETERS = Path("metrics/hyperparameters.yaml")
TUNING = Path("metrics/tune.json")
TRIALS = Path("plots/tune/trials.csv")
COMPARISON = Path("plots/compare")
FIGURES = Path("plots/eda")
MISCLASSIFIED = Path("plots/misclassified")
PACKAGES = Path("requirements.lock")
# How long the run took that the repository holds; `python -m tools.times --save` writes it.
FULL_RUN = Path("metrics/full_run.yaml")
# `python -m tools.ablation` writes both, and they may be missing: from one recipe to another, step
# by step, and the same training under several seeds.
ABLATION = Path("stages/report/ablation.csv")
SEEDS = Path("stages/report/seeds.csv")


def need(path: Path, stage: str | None = None) -> Path:
    """`path`, which is there.

    Args:
        stage: that writes it; without one, it lies in Git.

    Raises:
        InputError: it is not there.
    """
    if not path.exists():
        way = f"`dvc repro` writes it, in the stage {stage}" if stage else "`git restore` it"
        raise InputError(f"{path} is missing; {way}")
    return path


def read_table(path: Path, stage: str) -> pd.DataFrame:
    """Read the CSV file at `path`. Only an empty cell is missing: a class may be called NA, or 7.

    Raises:
        InputError: it is not there.
    """
    names = dict.fromkeys(("class", "actual", "predicted"), str)
    return pd.read_csv(need(path, stage), keep_default_na=False, na_values=[""], dtype=names)


def misclassified() -> pd.DataFrame:
    """What each classifier took each image for that all get wrong: index, actual, a name each.

    Raises:
        InputError: it is not there.
    """
    path = need(MISCLASSIFIED / "images.csv", "misclassified")
    return pd.read_csv(path, keep_default_na=False, dtype=str).astype({"index": int})


def compared(name: str) -> pd.DataFrame:
    """Read the table `name` that `compare` wrote.

    Raises:
        InputError: it is not there.
    """
    return read_table(COMPARISON / f"{name}.csv", "compare")
