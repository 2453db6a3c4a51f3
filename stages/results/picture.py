"""The picture of the result: test accuracies with their intervals, ours and the study's."""

from textwrap import fill

import numpy as np
import pandas as pd

from stages.results import figures, runs, study
from stages.results.evaluation import Predictions
from stages.results.figures import plt
from stages.results.runs import Model
from stages.results.statistics import wilson

WIDTH = 9.5  # inches
NOTE_CHARACTERS = 125  # in a line
COLUMNS = ["name", "accuracy", "low", "high", "study", "text", "folds"]
OURS, STUDYS, FOLDS = figures.TRAINING_COLOR, figures.VALIDATION_COLOR, "0.6"


def answer(name: str, test: Predictions, stated: float = np.nan) -> tuple:
    """The row of one classifier, with its 95 % interval."""
    accuracy, interval = 100 * test.accuracy, wilson(test.accuracy, len(test.labels))
    low, high = 100 * interval["low"], 100 * interval["high"]
    return name, accuracy, low, high, stated, f"{accuracy:.2f}  ({low:.1f} to {high:.1f})"


def rows_of(models: list[Model], with_study: bool) -> pd.DataFrame:
    """Of the models of one recipe: single and mean, folds together, and all of them together.

    low, high: the ends of the bar. Like all numbers here they are in percent.
    folds: the accuracies behind a mean.
    """
    rows = []
    for model in models:
        stated = 100 * study.published(model.network, study.MEAN)[0] if with_study else np.nan
        folds = 100 * model.scores["test_accuracy"]
        if len(folds) == 1:
            rows.append(answer(model.kind, model.together, stated))
            continue
        name, mean, sd = f"{model.kind}, mean of {len(folds)} folds", folds.mean(), folds.std()
        text = f"{mean:.2f}  \u00b1 {sd:.2f}"
        rows.append((name, mean, mean - sd, mean + sd, stated, text, list(folds)))
        rows.append(answer(f"{model.kind}, folds together", model.together))
    if len(models) > 1:
        members = runs.together([model.together for model in models])
        count = sum(len(model.runs) for model in models)
        rows.append(answer(f"all networks, {count} trainings", members))
    return pd.DataFrame(rows, columns=COLUMNS)


def draw(models: list[Model], heading: str, with_study: bool, notes: list[str]) -> plt.Figure:
    """A panel for each recipe, each with a scale of its own.

    Args:
        heading: the finding.
        with_study: the images are the study's.
        notes: what a reader of the numbers must know.
    """
    recipes = list(dict.fromkeys(model.recipe for model in models))
    panels = {}
    for recipe in recipes:
        members = [model for model in models if model.recipe == recipe]
        # Beside another recipe's numbers the study's would only stretch the scale.
        panels[recipe] = rows_of(members, with_study and recipe in ("study", recipes[0]))
    heights = [len(rows) + 1 for rows in panels.values()]
    size = (WIDTH, 0.31 * sum(heights) + 0.65 * len(panels) + 1.2)
    figure, grid = plt.subplots(len(panels), figsize=size, height_ratios=heights, squeeze=False)
    for axes, (recipe, rows) in zip(grid.flat, panels.items(), strict=True):
        _draw_panel(axes, rows)
        title = "At the study's settings" if recipe == "study" else f"Recipe {recipe}"
        axes.set_title(title, loc="left", fontsize="medium")
    grid[0, 0].legend(fontsize="small")
    axes.set_xlabel("test accuracy (%)")
    lines = [fill(part, 80) for part in (heading or "Test accuracy").split("; ")]
    figure.suptitle("\n".join(lines), fontsize="medium", weight="bold")
    lines = [fill(note, NOTE_CHARACTERS) for note in notes if note]
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize="small")
    return figure


def _draw_panel(axes: plt.Axes, rows: pd.DataFrame) -> None:
    places, ends = rows.index, rows[["low", "accuracy", "high"]].T
    bar = {"lw": 2.5, "solid_capstyle": "butt", "marker": "o", "ms": 7, "markevery": [1]}
    bars = axes.plot(ends, [places] * 3, color=OURS, **bar)
    bars[0].set_label("this run, 95 % interval or \u00b1 sd")
    folds, theirs = rows["folds"].explode().dropna(), rows["study"].dropna()
    if len(folds):
        axes.scatter(folds, folds.index - 0.25, s=12, color=FOLDS, label="a fold")
    if len(theirs):
        diamond = {"s": 50, "marker": "D", "fc": "none", "ec": STUDYS, "lw": 1.8, "zorder": 5}
        axes.scatter(theirs, theirs.index, **diamond, label="the study")
    side = axes.get_yaxis_transform()
    for place, row in rows.iterrows():
        stated = f"     study {row['study']:.2f}" if place in theirs else ""
        text = row["text"] + stated
        axes.annotate(text, (1.015, place), xycoords=side, va="center", fontsize="small")
    axes.set(yticks=places, yticklabels=rows["name"], ylim=(len(rows) - 0.4, -0.6))
    axes.margins(x=0.04)
    axes.grid(axis="y", visible=False)
