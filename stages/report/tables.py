"""How the page and the cards write a number, and what its columns are called."""

from collections.abc import Callable, Sequence

import pandas as pd

MINUS = "\N{MINUS SIGN}"
PERCENT = "\u202f%"  # with a narrow space that no line breaks at
SMALLEST_P = 0.0001


def percent(share: float) -> str:
    return f"{100 * share:.2f}{PERCENT}"


def points(difference: float) -> str:
    """A difference of two shares, in percentage points and with its sign."""
    return f"{100 * difference:+.2f}".replace("-", MINUS)


def loss(value: float) -> str:
    return f"{value:.4f}".replace("-", MINUS)


def number(value: float) -> str:
    """A count as it is, and any other number with four digits."""
    return (f"{value:,.4g}" if value % 1 else f"{value:,.0f}").replace("-", MINUS)


def p_value(value: float) -> str:
    return f"< {SMALLEST_P}" if value < SMALLEST_P else f"{value:.4f}"


# By the last word of a column's name: that says what is measured.
FORMATS = {
    **dict.fromkeys(("accuracy", "mean", "deviation", "error"), percent),
    "difference": points,
    "loss": loss,
    "value": p_value,
}
# Where the name of a column is not the heading of one.
HEADINGS = {
    "title": "Classifier",
    "difference": "Difference, points",
    "low": "95\u202f% from",
    "high": "to",
    "t": "Welch's t",
    "p_value": "p, t-test",
    "verdict": "Better",
    "mcnemar_p_value": "p, McNemar",
    "together_difference": "Difference together, points",
    "calibrated_test_loss": "Loss at that temperature",
    "calibrated_test_calibration_error": "Calibration error at that temperature",
}


def texts(
    frame: pd.DataFrame,
    columns: Sequence[str],
    group: str | None = None,
    limits: Callable[[float], str] = points,
) -> pd.DataFrame:
    """Some columns of `frame` as a reader wants them: words for headings, texts for values.

    Args:
        columns: the first one names the rows. A column without any value is left out, and a missing
            value is an empty text.
        group: a column whose value stands above the rows that have it.
        limits: writes the ends of an interval, the columns low and high.
    """
    formats = {**FORMATS, "low": limits, "high": limits}
    shown = {}
    for column in columns:
        values = frame[column]
        if pd.api.types.is_numeric_dtype(values):
            values = values.map(formats.get(column.split("_")[-1], number), na_action="ignore")
        if values.notna().any():
            heading = HEADINGS.get(column, column.replace("_", " ").capitalize())
            shown[heading] = values.astype(object).fillna("")
    names, *_ = shown
    return pd.DataFrame(shown).set_index([frame[group], names] if group else names)
