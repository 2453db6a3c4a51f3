"""The picture of the result: test accuracies with their intervals, ours and the study's."""

from dataclasses import dataclass
from textwrap import fill

import pandas as pd

from stages.results import figures, ranking, runs, study
from stages.results.evaluation import Predictions
from stages.results.figures import plt
from stages.results.runs import Model
from stages.results.statistics import wilson

WIDTH = 9.5  # inches
NOTE_CHARACTERS = 125  # in a line
OURS, STUDYS, FOLDS = figures.TRAINING_COLOR, figures.VALIDATION_COLOR, "0.6"


@dataclass(frozen=True)
class Row:
    """A line of the picture; everything in percent.

    low, high: ends of the bar.
    folds: the single accuracies behind a mean.
    """

    name: str
    accuracy: float
    low: float
    high: float
    text: str
    folds: tuple[float, ...] = ()
    study: float | None = None


def answer(name: str, test: Predictions, theirs: float | None = None) -> Row:
    """The row of one classifier, with its 95 % interval."""
    low, high = (100 * end for end in wilson(test.accuracy, len(test.labels)))
    accuracy = 100 * test.accuracy
    return Row(name, accuracy, low, high, f"{accuracy:.2f}  ({low:.1f} to {high:.1f})", (), theirs)


def rows_of(models: list[Model], with_study: bool) -> list[Row]:
    """Of the models of one recipe: single and mean, folds together, and all of them together."""
    rows = []
    for model in models:
        title = model.title.removesuffix(f" ({model.recipe})")
        theirs = study.published(model.network, study.MEAN) if with_study else None
        stated = 100 * theirs.accuracy if theirs else None
        if len(model.runs) == 1:
            rows.append(answer(title, model.runs[0].test, stated))
            continue
        accuracies = 100 * model.scores["test_accuracy"]
        mean, sd = accuracies.mean(), accuracies.std()
        name, text = f"{title}, mean of {len(accuracies)} folds", f"{mean:.2f}  \u00b1 {sd:.2f}"
        rows.append(Row(name, mean, mean - sd, mean + sd, text, tuple(accuracies), stated))
        rows.append(answer(f"{title}, folds together", model.together))
    if len(models) > 1:
        members = runs.together([model.together for model in models])
        count = sum(len(model.runs) for model in models)
        rows.append(answer(f"all networks, {count} trainings", members))
    return rows


def draw(
    models: list[Model], between: pd.DataFrame, with_study: bool, notes: list[str]
) -> plt.Figure:
    """A panel for each recipe, each with a scale of its own, below the finding as the title.

    Args:
        between: of `ranking.between_networks`.
        notes: what a reader of the numbers must know.
    """
    recipes = list(dict.fromkeys(model.recipe for model in models))
    panels = {}
    for recipe in recipes:
        members = [model for model in models if model.recipe == recipe]
        # Beside another recipe's numbers the study's would only stretch the scale.
        panels[recipe] = rows_of(members, with_study and recipe in ("study", recipes[0]))
    heights = [len(rows) + 1 for rows in panels.values()]
    figure, all_axes = plt.subplots(
        len(panels),
        figsize=(WIDTH, 0.31 * sum(heights) + 0.65 * len(panels) + 1.2),
        height_ratios=heights,
        squeeze=False,
    )
    for axes, (recipe, rows) in zip(all_axes[:, 0], panels.items(), strict=True):
        _draw_panel(axes, rows)
        title = "At the study's settings" if recipe == "study" else f"Recipe {recipe}"
        axes.set_title(title, loc="left", fontsize="medium")
    every_row = [row for rows in panels.values() for row in rows]
    all_axes[0, 0].legend(handles=_legend(every_row), fontsize="small")
    all_axes[-1, 0].set_xlabel("test accuracy (%)")
    heading = ranking.headline(models, between) or "Test accuracy"
    figure.suptitle(
        "\n".join(fill(part, 80) for part in heading.split("; ")), fontsize="medium", weight="bold"
    )
    text = "\n".join(fill(note, NOTE_CHARACTERS) for note in notes if note)
    figure.supxlabel(text, x=0.01, ha="left", fontsize="small")
    return figure


def _draw_panel(axes: plt.Axes, rows: list[Row]) -> None:
    for place, row in enumerate(rows):
        axes.plot([row.low, row.high], [place, place], color=OURS, lw=2.5, solid_capstyle="butt")
        axes.scatter(row.folds, [place - 0.25] * len(row.folds), s=12, color=FOLDS)
        axes.scatter(row.accuracy, place, s=45, color=OURS, zorder=4)
        text = row.text
        if row.study is not None:
            axes.scatter(row.study, place, s=50, marker="D", fc="none", ec=STUDYS, lw=1.8, zorder=5)
            text += f"     study {row.study:.2f}"
        axes.annotate(
            text, (1.015, place), xycoords=axes.get_yaxis_transform(), va="center", fontsize="small"
        )
    axes.set(yticks=range(len(rows)), yticklabels=[row.name for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.margins(x=0.04)
    axes.grid(axis="y", visible=False)


def _legend(rows: list[Row]) -> list[plt.Line2D]:
    """A handle for each kind of mark that the rows have."""
    kinds = [
        ({"color": OURS, "marker": "o", "lw": 2.5}, "this run, 95 % interval or \u00b1 sd"),
        ({"color": FOLDS, "marker": "o", "ms": 4, "lw": 0}, "a fold"),
        ({"color": STUDYS, "marker": "D", "mfc": "none", "mew": 1.8, "lw": 0}, "the study"),
    ]
    shown = [True, any(row.folds for row in rows), any(row.study is not None for row in rows)]
    return [
        plt.Line2D([], [], label=label, **options)
        for (options, label), there in zip(kinds, shown, strict=True)
        if there
    ]
