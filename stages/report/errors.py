"""What the classifiers take for what: confusion matrices, and the images that all get wrong."""

import json
from base64 import b64encode
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from stages.base.images import SIDE
from stages.report.formats import counted
from stages.report.inputs import need
from stages.results.runs import Classifier


class Confusion(NamedTuple):
    """A confusion matrix.

    rows: (10, 10), by actual class, of count and shade; a shade of 0-1 for errors, None on the
        diagonal.
    """

    name: str
    title: str
    rows: list[list[tuple[int, float | None]]]
    most_frequent: str


class Tile(NamedTuple):
    """An image that no classifier gets right, at `column`, `row` of the sheet.

    index: in the test set.
    caption: what most take it for.
    """

    index: int
    column: int
    row: int
    actual: str
    caption: str


def confusions(
    frame: pd.DataFrame, titles: dict[str, str], names: tuple[str, ...]
) -> list[Confusion]:
    """One for each classifier. All are shaded alike, by the root of the share of the class."""
    found = []
    tables = {
        name: frame[frame["classifier"] == name]
        .pivot(index="actual", columns="predicted", values="images")
        .loc[list(names), list(names)]
        .to_numpy()
        for name in titles
    }
    errors = {name: counts - np.diag(np.diag(counts)) for name, counts in tables.items()}
    most = max(1, max(wrong.max() for wrong in errors.values()))
    for name, counts in tables.items():
        wrong = errors[name]
        shades = np.sqrt(wrong / most).round(2)
        actual, predicted = np.unravel_index(wrong.argmax(), wrong.shape)
        words = (
            f"Most frequent: {names[actual]} taken for {names[predicted]}, "
            f"{counted(int(wrong.max()), 'image')}."
            if wrong.any()
            else "Every image is right."
        )
        rows = [
            [
                (int(count), None if place == row else float(shades[row, place]))
                for place, count in enumerate(counts[row])
            ]
            for row in range(len(names))
        ]
        found.append(Confusion(name, titles[name], rows, words))
    return found


def tiles(frame: pd.DataFrame, sheet: Path) -> list[Tile]:
    """The images of `sheet` that `misclassified` wrote, in its order.

    Args:
        frame: columns index, actual and, by its name, what each classifier took an image for.

    Raises:
        InputError: the sheet is not there.
    """
    with Image.open(need(sheet, "misclassified")) as image:
        columns = image.width // SIDE
    found = []
    for number, (index, actual, *guesses) in enumerate(frame.itertuples(index=False)):
        (guess, votes), *_ = Counter(guesses).most_common(1)
        by = "all" if votes == len(guesses) else f"{votes} of {len(guesses)}"
        row, column = divmod(number, columns)
        found.append(Tile(index, column, row, actual, f"{guess} ({by})"))
    return found


def guesses(frame: pd.DataFrame, classifiers: list[Classifier], names: tuple[str, ...]) -> str:
    """For the page's script, JSON: what each classifier took each image for, and how sure it was.

    `classifiers`: their titles. `actual`: labels by image. `guesses`: by image, for each
    classifier its label and its largest probability in percent, one after the other.
    """
    number = {name: label for label, name in enumerate(names)}
    table = []
    for row in frame.to_dict("records"):
        cells: list[int] = []
        for each in classifiers:
            sure = each.test.probabilities[row["index"]].max()
            # Never 100 %: that is for what is certain.
            cells += [number[row[each.name]], min(99, int(100 * float(sure)))]
        table.append(cells)
    content = {
        "classifiers": [each.name for each in classifiers],
        "actual": [number[name] for name in frame["actual"]],
        "guesses": table,
    }
    return json.dumps(content, separators=(",", ":"))


def in_words(frame: pd.DataFrame) -> str:
    """How many images no classifier gets right, and of which class most are."""
    by_class = frame["actual"].value_counts()
    most = sorted(by_class.index[by_class == by_class.max()])
    if not most:
        return "There is none: every test image is right by one classifier at least."
    return (
        f"{counted(len(frame), 'test image').capitalize()}, most often of the class "
        f"{' or '.join(most)} ({by_class.max():,})."
    )


def data_uri(path: Path, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{b64encode(path.read_bytes()).decode()}"
