"""What the classifiers get wrong: confusion matrices, and the images that none gets right."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup
from PIL import Image

from stages.base.images import SIDE
from stages.report.tables import number, table


class Tile(NamedTuple):
    """An image that no classifier gets right, at `column`, `row` of the sheet.

    index: in the test set.
    answers: the classes that were answered, the most frequent first, each with its count.
    """

    index: int
    column: int
    row: int
    answers: str


def confusion_table(rows: pd.DataFrame, title: str, linked: dict[str, str]) -> Markup:
    """The confusion matrix of one classifier; the more images are wrong, the stronger the shade.

    Args:
        rows: columns actual, predicted, images; actual classes in the order of their labels.
        title: of the classifier.
        linked: the id of the element with pictures of a class, by its name.
    """
    names = list(rows["actual"].unique())
    counts = rows.pivot(index="actual", columns="predicted", values="images").loc[names, names]
    counts.columns = range(len(names))  # a class may have any name, that of the first column too
    frame = counts.reset_index()
    wrong = frame[counts.columns].astype(float)
    np.fill_diagonal(values := wrong.to_numpy(copy=True), 0)
    shades = pd.DataFrame(np.sqrt(values / max(values.max(), 1)), frame.index, counts.columns)

    def name(actual: str) -> str:
        link = Markup('<a href="#{}">{}</a>')
        return link.format(linked[actual], actual) if actual in linked else actual

    titles = {"actual": "actual \u2193 predicted \u2192", **dict(enumerate(names))}
    formats = {"actual": name, **dict.fromkeys(counts.columns, number)}
    return table(frame, titles, formats, caption=f"Confusion matrix: {title}", shades=shades)


def class_table(rows: pd.DataFrame, measure: str, titles: dict[str, str]) -> Markup:
    """One measure of every class and classifier; the weaker, the stronger the shade.

    Args:
        rows: columns classifier, class, precision, recall, f1.
        measure: one of the last three.
        titles: of the classifiers, by their names.
    """
    names = list(rows["class"].unique())
    values = rows.pivot(index="classifier", columns="class", values=measure).loc[
        list(titles), names
    ]
    values.columns = range(len(names))
    shades = ((1 - values) / max((1 - values).to_numpy().max(), 0.01)).reset_index(drop=True)
    frame = values.reset_index(drop=True)
    frame.insert(0, "title", list(titles.values()))
    formats = dict.fromkeys(range(len(names)), lambda share: f"{100 * share:.1f}")
    headings = {"title": "Classifier", **dict(enumerate(names))}
    caption = f"{measure.capitalize()} in percent"
    return table(frame, headings, formats, caption=caption, shades=shades)


def tiles(frame: pd.DataFrame, sheet: Path) -> dict[str, list[Tile]]:
    """The images of `sheet`, which `misclassified` wrote, by their class.

    Args:
        frame: columns index, actual, and one a classifier with its answer; a row an image, in the
            order of the sheet.
    """
    with Image.open(sheet) as image:
        columns = image.width // SIDE
    by_class: dict[str, list[Tile]] = {}
    for place, (index, actual, *answers) in enumerate(frame.itertuples(index=False)):
        words = ", ".join(f"{name} {count}" for name, count in Counter(answers).most_common())
        row, column = divmod(place, columns)
        by_class.setdefault(actual, []).append(Tile(int(index), column, row, words))
    return by_class
