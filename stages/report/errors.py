"""What the classifiers get wrong: by class, and the images that none gets right."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd


def confusion_matrices(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By classifier: a row an actual class, a column a predicted one, in the order of the labels.

    Args:
        rows: columns title, actual, predicted, images; title is the classifier's.
    """
    names = rows["actual"].unique()
    matrices = {}
    for title, counts in rows.groupby("title", sort=False):
        matrix = counts.pivot(index="actual", columns="predicted", values="images")
        matrices[title] = matrix.loc[names, names].rename_axis("actual \u2193 predicted \u2192")
    return matrices


def off_diagonal(matrix: pd.DataFrame) -> pd.DataFrame:
    """The errors of a confusion matrix; 0 where actual and predicted class are the same."""
    return matrix * (1 - np.eye(len(matrix)))


def shades(values: pd.DataFrame) -> np.ndarray:
    """0-1 for each cell: the larger its value, the stronger its colour."""
    return values.to_numpy(float) / max(values.max(axis=None), 1)


def recalls(rows: pd.DataFrame) -> pd.DataFrame:
    """In percent: a row a classifier, a column a class, in the order of the labels.

    Args:
        rows: columns title, class, recall; title is the classifier's.
    """
    shares = rows.pivot(index="title", columns="class", values="recall")
    shares = shares.loc[rows["title"].unique(), rows["class"].unique()]
    return (100 * shares).rename_axis("Classifier")


def sheet_by_class(rows: pd.DataFrame, names: list[str]) -> dict[str, list[dict[str, Any]]]:
    """The images that `misclassified` put on its sheet, by their actual class, in label order.

    Args:
        rows: columns index, actual, and one a classifier with its answer; a row an image.
        names: of the classes.

    Returns:
        For each image its index in the test set, its place on the sheet, and how many classifiers
        gave which answer, in words.
    """
    by_class: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for place, (index, actual, *answers) in enumerate(rows.itertuples(index=False)):
        counts = [f"{name} {count}" for name, count in Counter(answers).most_common()]
        image = {"index": index, "place": place, "answers": ", ".join(counts)}
        by_class[actual].append(image)
    return {name: images for name, images in by_class.items() if images}
