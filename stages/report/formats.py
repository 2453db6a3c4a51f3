"""How numbers are written on the page and on the cards, and what a table is."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

MINUS = "\N{MINUS SIGN}"
PERCENT = "\u202f%"  # with a narrow space that no line breaks at
SMALLEST_P = 0.0001


def percent(share: float) -> str:
    return "" if pd.isna(share) else f"{100 * share:.2f}{PERCENT}"


def points(difference: float) -> str:
    """A difference of two shares, in percentage points and with its sign."""
    return "" if pd.isna(difference) else f"{100 * difference:+.2f}".replace("-", MINUS)


def difference(ours: float, theirs: float) -> str:
    """In points, of two shares as `percent` shows them: whoever subtracts these finds the same."""
    first, second = (round(100 * float(share), 2) for share in (ours, theirs))
    return points((first - second) / 100)


def interval(low: float, high: float) -> str:
    return "" if pd.isna(low) else f"{100 * low:.2f} to {percent(high)}"


def loss(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.4f}"


def p_value(value: float) -> str:
    return f"< {SMALLEST_P}" if value < SMALLEST_P else f"{value:.4f}"


def signed(value: float) -> str:
    return f"{value:.2f}".replace("-", MINUS)


def counted(number: int, noun: str) -> str:
    return f"{f'{number:,}' if number else 'no'} {noun}{'' if number == 1 else 's'}"


def listed(items: Sequence[str]) -> str:
    """With commas, and `and` before the last."""
    *others, last = items
    return f"{', '.join(others)} and {last}" if others else last


def called(title: str) -> str:
    """The title of a model or classifier. "The study" is the paper, never our recipe."""
    return title.replace("(study)", "(study's settings)")


def _is_number(cell: str) -> bool:
    number = rf"(< )?[+{MINUS}-]?[\d,]*(\.\d+)?(e[+-]\d+)?(\s%)?"
    return bool(re.fullmatch(rf"({number}( to {number})?)?", cell))


@dataclass(frozen=True)
class Table:
    """A table, whose cells are shown as they are.

    rows: each as long as `columns`; the first cell names the row.
    groups: one a row; a line with the group's name stands where a new one begins.
    shades: 0-1 for each cell but the first of each row; the stronger, the more it needs a look.
    sortable: by a click on a column's heading.
    """

    caption: str
    columns: Sequence[str]
    rows: list[list[str]]
    groups: list[str] | None = None
    shades: list[list[float]] | None = None
    sortable: bool = False

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers only, and so go to the right."""
        if not self.rows:
            return [False] * len(self.columns)
        return [all(map(_is_number, column)) for column in zip(*self.rows, strict=True)]
