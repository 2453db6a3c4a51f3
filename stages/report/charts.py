"""Charts as SVG in the page: sharp at any size, and in the colours of the page's theme."""

import io
import re

import numpy as np
import pandas as pd
from markupsafe import Markup

from stages.results.figures import TRAINING_COLOR, VALIDATION_COLOR, mpl, plt
from stages.results.runs import Model

TRAINING, VALIDATION = map(mpl.colors.to_hex, (TRAINING_COLOR, VALIDATION_COLOR))
INK, LINE = "#5d616a", "#dfe0e3"
# `style.css.j2` says what these are, on a light page and on a dark one.
VARIABLES = {TRAINING: "training", VALIDATION: "validation", INK: "quiet", LINE: "line"}
LOOK = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK),
    **dict.fromkeys(("axes.edgecolor", "grid.color", "legend.edgecolor"), LINE),
    "legend.framealpha": 0,
    "svg.fonttype": "none",
}


def embedded(figure: plt.Figure, label: str) -> Markup:
    """The SVG of `figure`, the same bytes for the same figure; closes it.

    Args:
        label: for a screen reader; different from those of the page's other charts.
    """
    file = io.StringIO()
    # The salt makes the ids of markers and clip paths, which must differ between the charts.
    with mpl.rc_context({"svg.hashsalt": label}):
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=metadata)
    plt.close(figure)
    _, _, svg = file.getvalue().partition("<svg")
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return Markup('<svg role="img" aria-label="{}"').format(label) + Markup(svg)


def limits(models: list[Model], measure: str) -> tuple[float, float]:
    """Of accuracy or loss, so that the curves of all models fit in."""
    curves = pd.concat([run.curves for model in models for run in model.runs])
    values = curves[[measure, f"val_{measure}"]]
    return (values.min(axis=None), 1) if measure == "accuracy" else (0, values.max(axis=None))


def learning_curves(model: Model, measure: str, limits: tuple[float, float]) -> Markup:
    """Accuracy or loss by epoch: every training thin, their mean thick, the lowest loss dotted."""
    curves = [run.curves for run in model.runs]
    epochs = curves[0]["epoch"]
    with mpl.rc_context(LOOK):
        figure, axes = plt.subplots(figsize=(4.6, 3.1))
        for data, column, colour, style in (
            ("training", measure, TRAINING, "-"),
            ("validation", f"val_{measure}", VALIDATION, "--"),
        ):
            values = np.column_stack([each[column] for each in curves])
            if len(curves) > 1:
                axes.plot(epochs, values, color=colour, lw=0.8, alpha=0.4)
            axes.plot(epochs, values.mean(axis=1), color=colour, ls=style, label=data)
        for epoch in sorted({run.metrics["best_epoch"] for run in model.runs}):
            axes.axvline(epoch, color=INK, lw=0.8, ls=":")
        axes.set(xlabel="epoch", ylabel=measure, ylim=limits)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()
        return embedded(figure, f"{measure} by epoch: {model.title}")
