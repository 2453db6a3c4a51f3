"""Write `metrics/ablation.csv` from a run of `ablation.yaml`: `python -m tools.ablation FOLDER`.

One row per recipe, in the order of the file: the hyperparameters that differ from the row before;
the test accuracy's mean and standard deviation over the folds, and its difference to the row
before, paired by fold, with its 95 % interval (`stages/results/statistics.py`); the same of the log
loss on the test images, as `loss_*`.
"""

from pathlib import Path

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
    table, before, earlier = [], {}, {}
    for step, recipe in enumerate(getattr(settings, network)):
        folds = params.trainings(settings, network, recipe)
        place = folder / "metrics" / network / recipe
        metrics = pd.DataFrame([read_json(place / str(fold) / "metrics.json") for fold in folds])
        now = settings_of(settings, network, recipe)
        row = {"network": network, "step": step, "recipe": recipe, "changes": changes(before, now)}
        for measure, prefix in (("test_accuracy", ""), ("test_loss", "loss_")):
            values = metrics[measure].to_numpy()
            row |= {f"{prefix}mean": values.mean()}
            row |= {f"{prefix}standard_deviation": values.std(ddof=1)}
            if step:
                paired = statistics.paired_by_fold(values, earlier[measure])
                row |= {prefix + key: paired[key] for key in ("difference", "low", "high")}
                holds_zero = paired["low"] <= 0 <= paired["high"]
                row |= {f"{prefix}significant": "no" if holds_zero else "yes"}
            earlier[measure] = values
        table.append(row)
        before = now
    return table


def main(folder: Path) -> None:
    settings = params.load(folder / "params.yaml")
    table = pd.DataFrame([row for network in NETWORKS for row in rows(folder, settings, network)])
    with atomic_file(OUTPUT) as unfinished:
        table.to_csv(unfinished, index=False, float_format="%.6f")
    print(f"ablation: {len(table)} rows in {OUTPUT}")


if __name__ == "__main__":
    run(main, folder=Path)
