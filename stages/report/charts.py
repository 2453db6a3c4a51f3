"""Charts as SVG in the page: small, sharp at any size, and in the colours of the page's theme.

Vega's runtime, which the repository carries for `dvc plots`, would fill over half of what a file in
Git may have, draws nothing where scripts are off, and knows no dark page.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from stages.report.formats import percent

WIDTH, HEIGHT = 420, 270
LEFT, RIGHT, TOP, BOTTOM = 50, 408, 10, 230
SIDE = 200  # of a reliability diagram


@dataclass(frozen=True)
class Scale:
    """Numbers from `low` to `high`, drawn from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1)
        return round(self.start + share * (self.end - self.start), 1)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from `low` to `high`, `about` so many."""
    rough = (high - low) / about or 1
    size = 10 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def rounded(low: float, high: float, about: int = 5) -> tuple[float, float]:
    """The nearest round numbers outside of `low` and `high`."""
    first, second, *_ = ticks(low - (high - low), high + (high - low), 3 * about)
    step = second - first
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def _join(parts: Sequence[Markup]) -> Markup:
    return Markup("").join(parts)


def _line(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    text = " ".join(f"{x:g},{y:g}" for x, y in points)
    return Markup('<polyline class="{}" points="{}"/>').format(kind, text)


def _grid(
    x: Scale,
    y: Scale,
    labels: tuple[str, str],
    x_ticks: Sequence[float],
    y_format: Callable[[float], str],
) -> Markup:
    """Lines at round numbers, and the numbers beside them."""
    parts = []
    for value in ticks(y.low, y.high):
        parts.append(_line([(x.start, y(value)), (x.end, y(value))], "grid"))
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(
                x.start - 6, y(value) + 4, y_format(value)
            )
        )
    for value in x_ticks:
        parts.append(
            Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(
                x(value), y.start + 18, f"{value:g}"
            )
        )
    middle = (x.start + x.end) / 2
    parts.append(
        Markup('<text x="{:g}" y="{:g}" text-anchor="middle">{}</text>').format(
            middle, y.start + 35, labels[0]
        )
    )
    height = (y.start + y.end) / 2
    parts.append(
        Markup(
            '<text x="12" y="{0:g}" text-anchor="middle" transform="rotate(-90 12 {0:g})">{1}'
            "</text>"
        ).format(height, labels[1])
    )
    return _join(parts)


def _svg(content: Markup, label: str, width: int = WIDTH, height: int = HEIGHT) -> Markup:
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        width, height, label, content
    )


def learning_curves(
    runs: list[pd.DataFrame],
    best_epochs: Sequence[int],
    measure: str,
    limits: tuple[float, float],
    label: str,
) -> Markup:
    """One measure by epoch, training and validation: each run thin, their mean, and the band.

    Args:
        runs: columns epoch, MEASURE, val_MEASURE; the folds of one model, or one run alone.
        best_epochs: of each run; a dotted line each.
        measure: accuracy or loss.
        limits: of the measure, the same in every chart that is to be compared.
        label: for a screen reader.
    """
    epochs = runs[0]["epoch"]
    x = Scale(1, max(epochs.max(), 2), LEFT, RIGHT)
    y = Scale(*limits, BOTTOM, TOP)
    whole = [value for value in ticks(1, x.high, 6) if value == int(value) and value >= 1]
    y_format = "{:.0%}".format if measure == "accuracy" else "{:g}".format
    parts = [_grid(x, y, ("epoch", measure), [1, *(n for n in whole if n > 1)], y_format)]
    for epoch in sorted(set(best_epochs)):
        parts.append(_line([(x(epoch), BOTTOM), (x(epoch), TOP)], "best"))
    for kind, column in (("training", measure), ("validation", f"val_{measure}")):
        values = pd.concat([run[column] for run in runs], axis=1)
        if len(runs) > 1:
            band = [
                *zip(map(x, epochs), map(y, values.max(axis=1)), strict=True),
                *reversed([*zip(map(x, epochs), map(y, values.min(axis=1)), strict=True)]),
            ]
            text = " ".join(f"{one:g},{other:g}" for one, other in band)
            parts.append(Markup('<polygon class="band {}" points="{}"/>').format(kind, text))
            parts += [
                _line([*zip(map(x, epochs), map(y, run[column]), strict=True)], f"thin {kind}")
                for run in runs
            ]
        means = values.mean(axis=1)
        parts.append(_line([*zip(map(x, epochs), map(y, means), strict=True)], f"mean {kind}"))
    parts.append(
        Markup('<line class="cursor" y1="{}" y2="{}" x1="{}" x2="{}"/>').format(
            TOP, BOTTOM, LEFT, LEFT
        )
    )
    return _svg(_join(parts), label)


def reliability(bins: pd.DataFrame, label: str) -> Markup:
    """How often a classifier is right by how sure it is; a larger dot stands for more images.

    Args:
        bins: columns confidence, accuracy, images.
        label: for a screen reader.
    """
    x, y = Scale(0, 1, 44, SIDE - 12), Scale(0, 1, SIDE - 42, 8)
    parts = [
        _grid(x, y, ("how sure", "how often right"), [0, 0.5, 1], "{:g}".format),
        _line([(x(0), y(0)), (x(1), y(1))], "best"),
        _line([*zip(map(x, bins["confidence"]), map(y, bins["accuracy"]), strict=True)], "thin"),
    ]
    most = bins["images"].max()
    for row in bins.itertuples():
        parts.append(
            Markup(
                '<circle class="dot" cx="{}" cy="{}" r="{:.1f}"><title>sure {}, right {}, {:,} '
                "images</title></circle>"
            ).format(
                x(row.confidence),
                y(row.accuracy),
                2 + 6 * math.sqrt(row.images / most),
                percent(row.confidence),
                percent(row.accuracy),
                row.images,
            )
        )
    return _svg(_join(parts), label, SIDE, SIDE)


def trials(table: pd.DataFrame, chosen: int, label: str) -> Markup:
    """Each trial's validation accuracy by its units; a shape for each learning rate.

    Args:
        table: columns trial, units, learning_rate, val_accuracy.
        chosen: the trial whose hyperparameters were taken.
        label: for a screen reader.
    """
    units = table["units"]
    x = Scale(0, 1.04 * units.max(), LEFT, RIGHT)
    low, high = table["val_accuracy"].min(), table["val_accuracy"].max()
    room = 0.06 * ((high - low) or 0.1)
    y = Scale(max(0, low - room), min(1, high + room), BOTTOM, TOP)
    digits = 0 if high - low > 0.05 else 1
    parts = [
        _grid(
            x,
            y,
            ("units of the first dense layer", "validation accuracy"),
            ticks(0, x.high),
            lambda value: f"{100 * value:.{digits}f}%",
        )
    ]
    places = {rate: place for place, rate in enumerate(sorted(table["learning_rate"].unique()))}
    for row in table.itertuples():
        here, there = x(row.units), y(row.val_accuracy)
        parts.append(
            Markup(
                '<g class="rate-{}" transform="translate({} {})">{}<title>trial {:g}: {:g} units, '
                "rate {:g}, {}</title></g>"
            ).format(
                places[row.learning_rate] % len(SHAPES),
                here,
                there,
                SHAPES[places[row.learning_rate] % len(SHAPES)],
                row.trial,
                row.units,
                row.learning_rate,
                percent(row.val_accuracy),
            )
        )
        if row.trial == chosen:
            parts.append(
                Markup('<circle class="chosen" cx="{}" cy="{}" r="10"/>').format(here, there)
            )
    return _svg(_join(parts), label)


SHAPES = (
    Markup('<circle r="4.5"/>'),
    Markup('<rect x="-4" y="-4" width="8" height="8"/>'),
    Markup('<path d="M0-5.5 5 4H-5z"/>'),
    Markup('<path d="M0-6 5 0 0 6-5 0z"/>'),
)


def legend_of_trials(table: pd.DataFrame) -> list[tuple[int, Markup, str]]:
    """Place, shape and name of each learning rate."""
    rates = sorted(table["learning_rate"].unique())
    return [
        (place % len(SHAPES), SHAPES[place % len(SHAPES)], f"{rate:g}")
        for place, rate in enumerate(rates)
    ]
