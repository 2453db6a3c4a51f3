"""What the page shows and no other stage writes, made of models and of the tables of `compare`."""

from itertools import combinations

import numpy as np
import pandas as pd

from stages.catalog import NETWORKS
from stages.results import runs, study
from stages.results.ranking import ALL
from stages.results.runs import Model, called
from stages.results.statistics import paired_by_fold

TITLES = {name: network.title for name, network in NETWORKS.items()}
TITLES[ALL] = "All networks together"


def short(score: float, measure: str) -> str:
    """An accuracy, in percent, or a loss."""
    return f"{100 * score:.2f}" if measure == "accuracy" else f"{score:.3f}"


def first_screen(
    models: list[Model], results: pd.DataFrame, measure: str, footnoted: bool
) -> pd.DataFrame:
    """The table that stands first, as texts: a row a network or an ensemble, a column a recipe.

    Args:
        results: as `compare` wrote them.
        measure: accuracy (in percent) or loss.
        footnoted: mark ResNet50 at the study's settings.
    """
    table = pd.DataFrame(columns=["Study"])
    by_model = results.groupby(["network", "recipe"])
    for model in models:
        name, ours = model.kind, f"Ours, {called(model.recipe)}"
        scores = by_model.get_group((model.network, model.recipe)).set_index("measure")
        mean = study.MEAN if study.MEAN in scores.index else study.TEST
        for column, key in (("Study", f"study_{measure}"), (ours, measure)):
            values = scores[key].reindex([mean, study.SPREAD]).dropna()
            if len(values):
                table.loc[name, column] = " \u00b1 ".join(short(value, measure) for value in values)
        if footnoted and model.name == "resnet-study":
            table.loc[name, ours] += "\u00b9"
        if study.TOGETHER in scores.index:
            together = scores[measure][study.TOGETHER]
            table.loc[f"{name}, folds together", ours] = short(together, measure)
    for recipe, members in runs.by_recipe(models).items():
        score = getattr(runs.together([model.together for model in members]), measure)
        table.loc[TITLES[ALL], f"Ours, {called(recipe)}"] = short(score, measure)
    return table.dropna(axis="columns", how="all").fillna("").rename_axis("Network")


def loss_tests(models: list[Model]) -> pd.DataFrame:
    """Each pair of a recipe's networks that have the same folds, by their log losses."""
    rows = []
    for recipe, members in runs.by_recipe(models).items():
        for one, other in combinations(members, 2):
            if len(one.runs) == len(other.runs) > 1:
                test = paired_by_fold(one.scores["test_loss"], other.scores["test_loss"])
                names = {"recipe": recipe, "first": one.network, "second": other.network}
                rows.append({**names, **test, "difference_in_loss": test["difference"]})
    columns = ["recipe", "first", "second", "difference_in_loss", "low", "high", "p_value"]
    return pd.DataFrame(rows, columns=columns)


def with_pairs(tests: pd.DataFrame) -> pd.DataFrame:
    """Tests between networks, with words for what is taken from what."""
    first, second = (tests[side].map(TITLES) for side in ("first", "second"))
    return tests.assign(pair=first + " less " + second, recipe=tests["recipe"].map(called))


def mean_metrics(models: list[Model]) -> pd.DataFrame:
    """The evaluations' metrics, means over the trainings of each model, and its title."""
    return pd.DataFrame([{"model": each.title, **each.scores.mean()} for each in models])


def recorded_settings(models: list[Model]) -> pd.DataFrame:
    """What every training was told, as it recorded it: a row a setting, a column a model."""
    recorded = {model.title: model.runs[0].training for model in models}
    table = pd.DataFrame(recorded, dtype=object).drop(["classes", "best_epoch"]).fillna("")
    return table.rename(index=lambda key: key.replace("_", " ")).rename_axis("Setting")


def beside_the_study(ours: dict, theirs: dict, with_study: bool) -> pd.DataFrame:
    """Columns name, study, ours; a row for each key of `theirs`."""
    columns = {"study": theirs if with_study else {}, "ours": ours}
    frame = pd.DataFrame(columns).loc[list(theirs)]
    return frame.rename(index=lambda key: key.replace("_", " ")).rename_axis("name").reset_index()


def images_by_class(model: Model, clean: dict[str, int], with_study: bool) -> pd.DataFrame:
    """Columns class, study_training, training, test; a row a class."""
    labels = range(len(model.classes))
    return pd.DataFrame(
        {
            "class": model.classes,
            "study_training": study.LABEL_COUNTS if with_study else None,
            "training": [clean[f"label_{label}"] for label in labels],
            "test": np.bincount(model.runs[0].test.labels, minlength=len(labels)),
        }
    )
