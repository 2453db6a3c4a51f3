"""How values are written on the page and on the cards, and how a frame becomes a table."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

MINUS = "\N{MINUS SIGN}"
PERCENT = "\u202f%"  # with a narrow space that no line breaks at
SMALLEST_P = 0.0001


def percent(share: float) -> str:
    return f"{100 * share:.2f}{PERCENT}"


def points(difference: float) -> str:
    """A difference of two shares, in percentage points and with its sign."""
    return f"{100 * difference:+.2f}".replace("-", MINUS)


def decimal(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace("-", MINUS)


def loss(value: float) -> str:
    return decimal(value, 4)


def number(value: float) -> str:
    return f"{value:,g}"


def p_value(value: float) -> str:
    return f"< {SMALLEST_P}" if value < SMALLEST_P else f"{value:.4f}"


def listed(items: Sequence[str]) -> str:
    """With commas, and `and` before the last."""
    *others, last = items
    return f"{', '.join(others)} and {last}" if others else last


def titled(title: str) -> str:
    """The title of a model or classifier. "The study" is the paper, never our recipe."""
    return title.replace("(study)", "(study's settings)")


def table(
    frame: pd.DataFrame,
    titles: Mapping[Hashable, str],
    formats: Mapping[Hashable, Callable[[Any], str]] | None = None,
    *,
    caption: str,
    group: Hashable | None = None,
    shades: pd.DataFrame | None = None,
) -> Markup:
    """The HTML of a table, in a box that scrolls where the page is too narrow.

    Args:
        frame: a row for each row of the table.
        titles: headings by the column of `frame`; the first one names the rows. A column without
            any value is left out, and a missing value is an empty cell.
        formats: what writes the values of a column; such a column goes to the right.
        caption: above the table.
        group: a column of `frame`; a line with its value stands where a new one begins.
        shades: 0-1 for cells, with the index of `frame` and some of its columns; the stronger, the
            more a cell needs a look.
    """
    formats = formats or {}
    first, *others = [key for key in titles if frame.empty or frame[key].notna().any()]

    def cell(tag: str, key: Hashable, content: Any, more: str = "") -> Markup:
        side = Markup(' class="n"') if key in formats else ""
        return Markup("<{0}{1}{2}>{3}</{0}>").format(tag, side, Markup(more), content)

    def value(row: pd.Series, key: Hashable) -> str:
        return "" if pd.isna(row[key]) else formats.get(key, str)(row[key])

    def shade(label: Hashable, key: Hashable) -> str:
        known = shades is not None and key in shades and shades.loc[label, key] > 0
        return f' style="--s:{shades.loc[label, key]:.2f}"' if known else ""

    head = [cell("th", key, titles[key], ' scope="col"') for key in (first, *others)]
    lines, before = [], None
    for label, row in frame.iterrows():
        if group is not None and row[group] != before:
            before = row[group]
            line = '<tr class="group"><th scope="rowgroup" colspan="{}"><span>{}</span></th></tr>'
            lines.append(Markup(line).format(len(head), before))
        cells = [cell("td", key, value(row, key), shade(label, key)) for key in others]
        name = cell("th", first, value(row, first), ' scope="row"')
        lines.append(Markup("<tr>{}{}</tr>").format(name, Markup("").join(cells)))
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{0}">\n'
        "<table><caption>{0}</caption>\n<thead><tr>{1}</tr></thead>\n"
        "<tbody>\n{2}\n</tbody></table>\n</div>"
    ).format(caption, Markup("").join(head), Markup("\n").join(lines))
