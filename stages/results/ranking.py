"""Which network of a recipe is better, and whether that can be said at all."""

from itertools import combinations, pairwise

import numpy as np
import pandas as pd

from stages.catalog import NETWORKS
from stages.results import runs
from stages.results.runs import Model
from stages.results.statistics import SIGNIFICANT, mcnemar, paired_by_fold

ALL = "all"
COLUMNS = (
    "recipe",
    "first",
    "second",
    "difference",
    "low",
    "high",
    "t",
    "degrees_of_freedom",
    "p_value",
    "together_difference",
    "only_first_right",
    "only_second_right",
    "mcnemar_p_value",
    "verdict",
)


def between_networks(models: list[Model]) -> pd.DataFrame:
    """Each pair of networks of a recipe; then all of them together with each.

    first, second: keys of `NETWORKS`, or `ALL`.
    difference: of the mean test accuracies of their trainings, first - second. Where both have the
        folds, with its interval (95 %) and the test of `paired_by_fold`.
    together_difference: of the test accuracies of their trainings together, with McNemar's test.
    verdict: the one of the two that is better by every test that there is; "" for no significant
        difference. By Bonferroni's bound: the more pairs a recipe has, the more it takes.
    """
    rows = []
    for recipe, members in runs.by_recipe(models).items():
        answers = {model.network: model.together for model in members}
        answers[ALL] = runs.together(list(answers.values()))
        by_network = {model.network: model for model in members}
        pairs = list(combinations(by_network, 2)) + [(ALL, network) for network in by_network]
        for first, second in pairs:
            row = {"recipe": recipe, "first": first, "second": second, "verdict": ""}
            one, other = answers[first], answers[second]
            row["together_difference"] = one.accuracy - other.accuracy
            row |= mcnemar(one.predicted, other.predicted, one.labels)
            signs, p_values = [row["together_difference"]], [row["mcnemar_p_value"]]
            if first != ALL:
                accuracies = [by_network[each].scores["test_accuracy"] for each in (first, second)]
                row["difference"] = accuracies[0].mean() - accuracies[1].mean()
                signs.append(row["difference"])
                if len(accuracies[0]) == len(accuracies[1]) > 1:
                    row |= paired_by_fold(*accuracies)
                    p_values.append(row["p_value"])
            if max(p_values) < SIGNIFICANT / len(pairs) and abs(np.sign(signs).sum()) == len(signs):
                row["verdict"] = first if signs[0] > 0 else second
            rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def finding(models: list[Model], between: pd.DataFrame, recipe: str) -> str:
    """The ranking of a recipe's networks by mean test accuracy, as far as it is known.

    Args:
        between: of `between_networks`.

    Returns:
        "" where there is nothing to rank: one network alone, or random weights.
    """
    members = [model for model in models if model.recipe == recipe]
    if len(members) < 2 or any(model.random for model in members):
        return ""
    verdicts = {
        frozenset((row.first, row.second)): row.verdict
        for row in between[between["recipe"] == recipe].itertuples()
    }
    ranked = sorted(members, key=lambda model: -model.mean("test_accuracy"))
    titles = [NETWORKS[model.network].title for model in ranked]
    ahead: list[tuple[int, int]] = []
    for i, j in sorted(combinations(range(len(ranked)), 2), key=lambda pair: pair[1] - pair[0]):
        better = verdicts[frozenset((ranked[i].network, ranked[j].network))] == ranked[i].network
        # Who is ahead of the next one is ahead of those after it.
        if better and not any(i <= first and second <= j for first, second in ahead):
            ahead.append((i, j))
    if not ahead:
        return f"No significant difference between {', '.join(titles[:-1])} and {titles[-1]}"
    clauses = []
    for i, j in sorted(ahead):
        points = 100 * (ranked[i].mean("test_accuracy") - ranked[j].mean("test_accuracy"))
        clauses.append(f"{titles[i]} is {points:.2f} points ahead of {titles[j]}")
    neighbours = [pair for pair in pairwise(range(len(ranked))) if pair not in ahead]
    if alike := " or ".join(f"between {titles[i]} and {titles[j]}" for i, j in neighbours):
        clauses.append(f"no significant difference {alike}")
    return ", ".join(clauses)


def headline(models: list[Model], between: pd.DataFrame) -> str:
    """The finding of the recipe that is best on validation images, and its networks together."""
    groups = runs.by_recipe(models)
    if not groups:
        return ""
    best = max(groups, key=lambda it: np.mean([m.mean("val_accuracy") for m in groups[it]]))
    found = finding(models, between, best)
    together = runs.together([model.together for model in groups[best]])
    return f"{found}; all together have {100 * together.accuracy:.2f} %" if found else ""
