"""What the classifiers get wrong: by class, and the images that none gets right."""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup

from stages.report.tables import number, table


class Tile(NamedTuple):
    """An image that no classifier gets right.

    index: in the test set.
    place: on the sheet, from 0, row by row.
    answers: the classes that were answered, the most frequent first, each with its count.
    """

    index: int
    place: int
    answers: str


def confusion_table(rows: pd.DataFrame, title: str, pictured: list[str]) -> Markup:
    """The confusion matrix of one classifier; the more images are wrong, the stronger the shade.

    Args:
        rows: columns actual, predicted, images; actual classes in the order of their labels.
        title: of the classifier.
        pictured: the classes with pictures, in elements of the ids wrong-0, wrong-1, ...
    """
    names = list(rows["actual"].unique())
    counts = rows.pivot(index="actual", columns="predicted", values="images").loc[names, names]
    counts.columns = range(len(names))  # a class may have any name, that of the first column too
    wrong = counts.to_numpy(float, copy=True)
    np.fill_diagonal(wrong, 0)
    shades = pd.DataFrame(np.sqrt(wrong / max(wrong.max(), 1)))

    def name(actual: str) -> str:
        if actual not in pictured:
            return actual
        return Markup('<a href="#wrong-{}">{}</a>').format(pictured.index(actual), actual)

    titles = {"actual": "actual \u2193 predicted \u2192", **dict(enumerate(names))}
    formats = {"actual": name, **dict.fromkeys(counts.columns, number)}
    caption = f"Confusion matrix: {title}"
    return table(counts.reset_index(), titles, formats, caption=caption, shades=shades)


def class_table(rows: pd.DataFrame, measure: str, titles: dict[str, str]) -> Markup:
    """One measure of every class and classifier; the weaker, the stronger the shade.

    Args:
        rows: columns classifier, class, precision, recall, f1.
        measure: one of the last three.
        titles: of the classifiers, by their names.
    """
    names = list(rows["class"].unique())
    values = rows.pivot(index="classifier", columns="class", values=measure)
    values = values.loc[list(titles), names].set_axis(range(len(names)), axis=1)
    values = values.reset_index(drop=True)
    shades = (1 - values) / max((1 - values).max(axis=None), 0.01)
    frame = values.assign(title=list(titles.values()))
    headings = {"title": "Classifier", **dict(enumerate(names))}
    formats = dict.fromkeys(values, lambda share: f"{100 * share:.1f}")
    caption = f"{measure.capitalize()} in percent"
    return table(frame, headings, formats, caption=caption, shades=shades)


def tiles(frame: pd.DataFrame, names: list[str]) -> dict[str, list[Tile]]:
    """The images of the sheet that `misclassified` wrote, by their class, in the order of `names`.

    Args:
        frame: columns index, actual, and one a classifier with its answer; a row an image, in the
            order of the sheet.
    """
    by_class: dict[str, list[Tile]] = {name: [] for name in names}
    for place, (index, actual, *answers) in enumerate(frame.itertuples(index=False)):
        words = ", ".join(f"{name} {count}" for name, count in Counter(answers).most_common())
        by_class[actual].append(Tile(index, place, words))
    return {name: images for name, images in by_class.items() if images}
