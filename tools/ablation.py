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


def numbers(values: pd.Series, before: pd.Series | None) -> dict[str, float | str | None]:
    """What a row says of one measure, a value per fold: (k,). The first row has no `before`."""
    spread = {"mean": values.mean(), "standard_deviation": values.std(ddof=1)}
    if before is None:
        return spread | dict.fromkeys(("difference", "low", "high", "significant"))
    paired = statistics.paired_by_fold(values, before)
    paired["significant"] = "no" if paired["low"] <= 0 <= paired["high"] else "yes"
    return spread | {key: paired[key] for key in ("difference", "low", "high", "significant")}


def rows(folder: Path, settings: Params, network: str) -> list[dict[str, object]]:
    table, before, earlier = [], {}, {}
    for step, recipe in enumerate(getattr(settings, network)):
        folds = params.trainings(settings, network, recipe)
        place = folder / "metrics" / network / recipe
        metrics = pd.DataFrame([read_json(place / str(fold) / "metrics.json") for fold in folds])
        now = settings_of(settings, network, recipe)
        row = {"network": network, "step": step, "recipe": recipe, "changes": changes(before, now)}
        for measure, prefix in (("test_accuracy", ""), ("test_loss", "loss_")):
            found = numbers(metrics[measure], earlier.get(measure))
            row |= {prefix + key: value for key, value in found.items()}
        table.append(row)
        before, earlier = now, metrics
    return table


def main(folder: Path) -> None:
    settings = params.load(folder / "params.yaml")
    table = pd.DataFrame([row for network in NETWORKS for row in rows(folder, settings, network)])
    with atomic_file(OUTPUT) as unfinished:
        table.to_csv(unfinished, index=False, float_format="%.6f")
    print(f"ablation: {len(table)} rows in {OUTPUT}")


if __name__ == "__main__":
    run(main, folder=Path)
