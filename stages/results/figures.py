"""How every figure of the project looks, and how it is written."""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns

from stages.base.files import atomic_file

# Seaborn's "colorblind" palette after Okabe and Ito: told apart by readers of every colour vision.
TRAINING_COLOR, VALIDATION_COLOR, *_ = sns.color_palette("colorblind")

sns.set_theme(style="whitegrid", palette="colorblind", font_scale=0.9)
mpl.rcParams.update({"figure.dpi": 100, "savefig.dpi": 100, "figure.constrained_layout.use": True})


def save(figure: plt.Figure, path: Path | str) -> None:
    """Write `figure` as PNG, the same bytes for the same figure, and close it."""
    with atomic_file(path) as unfinished:
        figure.savefig(unfinished, metadata={"Software": None})
    plt.close(figure)


def training_curves(curves: pd.DataFrame, title: str) -> plt.Figure:
    """The study's figure of a training: accuracy and loss by epoch, side by side.

    Args:
        curves: columns epoch, accuracy, val_accuracy, loss, val_loss; one row an epoch.
        title: what was trained.
    """
    figure, panels = plt.subplots(1, 2, figsize=(10, 4))
    best = curves.loc[curves["val_loss"].idxmin(), "epoch"]
    for panel, measure in zip(panels, ("accuracy", "loss"), strict=True):
        panel.plot(curves["epoch"], curves[measure], color=TRAINING_COLOR, label="training")
        panel.plot(
            curves["epoch"],
            curves[f"val_{measure}"],
            color=VALIDATION_COLOR,
            ls="--",
            label="validation",
        )
        panel.axvline(best, color="grey", lw=1, ls=":", label=f"lowest validation loss ({best})")
        panel.set(xlabel="epoch", ylabel=measure, title=measure.capitalize())
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.legend()
    figure.suptitle(title)
    return figure
