"""Write `metrics/ablation.csv` from a run of `ablation.yaml`: `python -m tools.ablation FOLDER`.

One row per recipe, in the order of the file: the hyperparameters that differ from the row before,
the mean and the standard deviation of the test accuracy over the folds, and the difference to the
row before it, paired by fold, with its 95 % interval (`stages/results/statistics.py`). A network
stands in the table once all its trainings are evaluated.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from stages import params
from stages.base.files import atomic_file, read_json
from stages.catalog import NETWORKS
from stages.cli import run
from stages.params import Params
from stages.results import statistics

OUTPUT = Path("metrics/ablation.csv")


def settings_of(settings: Params, network: str, recipe: str) -> dict[str, object]:
    """The hyperparameters of a recipe, those of its features among them, without unset keys."""
    chosen = getattr(settings, network)[recipe].model_dump(exclude_none=True)
    if NETWORKS[network].frozen:
        chosen |= settings.features[chosen.pop("features")].model_dump(exclude_none=True)
    return chosen


def changes(before: dict[str, object], after: dict[str, object]) -> str:
    """What `after` sets differently from `before`, as `key: value` in one line."""
    return ", ".join(f"{key}: {value}" for key, value in after.items() if before.get(key) != value)


def rows(folder: Path, settings: Params, network: str) -> list[dict[str, object]]:
    table, before, earlier = [], {}, None
    for step, recipe in enumerate(getattr(settings, network)):
        folds = params.trainings(settings, network, recipe)
        place = folder / "metrics" / network / recipe
        metrics = [read_json(place / str(fold) / "metrics.json") for fold in folds]
        accuracies = np.array([fold["test_accuracy"] for fold in metrics])
        now = settings_of(settings, network, recipe)
        row = {
            "network": network,
            "step": step,
            "recipe": recipe,
            "changes": changes(before, now),
            "mean": accuracies.mean(),
            "standard_deviation": accuracies.std(ddof=1),
        }
        if earlier is not None:
            paired = statistics.paired_by_fold(accuracies, earlier)
            row |= {key: paired[key] for key in ("difference", "low", "high")}
            row["significant"] = "no" if row["low"] <= 0 <= row["high"] else "yes"
        table.append(row)
        before, earlier = now, accuracies
    return table


def is_evaluated(folder: Path, settings: Params, network: str) -> bool:
    place = folder / "metrics" / network
    return all((place / recipe).exists() for recipe in getattr(settings, network))


def main(folder: Path) -> None:
    settings = params.load(folder / "params.yaml")
    networks = [network for network in NETWORKS if is_evaluated(folder, settings, network)]
    table = pd.DataFrame([row for network in networks for row in rows(folder, settings, network)])
    with atomic_file(OUTPUT) as unfinished:
        table.to_csv(unfinished, index=False, float_format="%.6f")
    print(f"ablation: {len(table)} rows in {OUTPUT}")


if __name__ == "__main__":
    run(main, folder=Path)
