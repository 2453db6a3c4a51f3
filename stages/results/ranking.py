"""Which network of a recipe is better, and whether that can be said at all."""

from itertools import combinations

import numpy as np
import pandas as pd

from stages.catalog import NETWORKS
from stages.results import runs
from stages.results.runs import Model
from stages.results.statistics import SIGNIFICANT, mcnemar, paired_by_fold

ALL = "all"
BY_FOLD = ("difference", "low", "high", "p_value")
TOGETHER = ("together_difference", "mcnemar_p_value")


def between_networks(models: list[Model]) -> pd.DataFrame:
    """Each pair of networks of a recipe; then all of them together with each.

    first, second: keys of `NETWORKS`, or `ALL`; networks in the order of their mean test accuracy.
    difference: of the mean test accuracies of their trainings, first - second. Where both have the
        folds, with its interval (95 %) and the test of `paired_by_fold`.
    together_difference: of the test accuracies of their trainings together, with McNemar's test.
    verdict: the one of the two that is better by every test that there is; "" for no significant
        difference. By Bonferroni's bound: the more pairs a recipe has, the more it takes.
    """
    rows = []
    for recipe, members in runs.by_recipe(models).items():
        members = sorted(members, key=lambda model: -model.mean("test_accuracy"))
        answers = {model.network: model.together for model in members}
        accuracies = {model.network: model.scores["test_accuracy"] for model in members}
        answers[ALL] = runs.together(list(answers.values()))
        for first, second in [*combinations(accuracies, 2), *((ALL, each) for each in accuracies)]:
            one, other = answers[first], answers[second]
            row = {"recipe": recipe, "first": first, "second": second}
            row["together_difference"] = one.accuracy - other.accuracy
            row["mcnemar_p_value"] = mcnemar(one.predicted, other.predicted, one.labels)
            if first != ALL:
                pair = accuracies[first], accuracies[second]
                row["difference"] = pair[0].mean() - pair[1].mean()
                if len(pair[0]) == len(pair[1]) > 1:
                    row |= paired_by_fold(*pair)
            rows.append(row)
    table = pd.DataFrame(rows, columns=["recipe", "first", "second", *BY_FOLD, *TOGETHER])
    agree = table["difference"].isna() | (table["difference"] * table["together_difference"] > 0)
    pairs = table.groupby("recipe")["recipe"].transform("size")
    significant = table[["p_value", "mcnemar_p_value"]].max(axis=1) < SIGNIFICANT / pairs
    better = table["first"].where(table["together_difference"] > 0, table["second"])
    return table.assign(verdict=better.where(agree & significant, ""))


def finding(models: list[Model], between: pd.DataFrame, recipe: str) -> str:
    """The ranking of a recipe's networks by mean test accuracy, as far as it is known.

    Args:
        between: of `between_networks`.

    Returns:
        "" where there is nothing to rank: one network alone, or random weights.
    """
    if any(model.random for model in models if model.recipe == recipe):
        return ""
    tests = between[(between["recipe"] == recipe) & (between["first"] != ALL)]
    tests = tests.replace({name: network.title for name, network in NETWORKS.items()})
    ahead, alike = [], []
    for first, rows in tests.groupby("first", sort=False):
        beaten = rows[rows["verdict"] == first]
        if len(beaten):
            nearest = beaten.iloc[0]
            points = f"{100 * nearest['difference']:.2f} points"
            ahead.append(f"{first} is {points} ahead of {nearest['second']}")
        following = rows.iloc[0]
        if not following["verdict"]:
            alike.append(f"between {first} and {following['second']}")
    if alike:
        ahead.append(f"no significant difference {' or '.join(alike)}")
    sentence = ", ".join(ahead)
    return sentence[:1].upper() + sentence[1:]


def headline(models: list[Model], between: pd.DataFrame) -> str:
    """The finding of the recipe that is best on validation images, and its networks together."""
    groups = runs.by_recipe(models)
    if not groups:
        return ""
    best = max(groups, key=lambda it: np.mean([m.mean("val_accuracy") for m in groups[it]]))
    found = finding(models, between, best)
    together = runs.together([model.together for model in groups[best]])
    score = f"{100 * together.accuracy:.2f} %"
    sentence = f"With the {runs.called(best)}: {found}; all networks together have {score}"
    return sentence if found else ""
