"""Tables that the page shows and that no other stage writes, as frames."""

from itertools import combinations

import numpy as np
import pandas as pd

from stages.catalog import NETWORKS
from stages.params import Params
from stages.report.tables import listed, loss, titled
from stages.results import runs, study
from stages.results.ranking import ALL
from stages.results.runs import Model
from stages.results.statistics import SIGNIFICANT, paired_by_fold

NO_DIFFERENCE = "no significant difference"


def title_of(network: str) -> str:
    return "all together" if network == ALL else NETWORKS[network].title


def first_screen(
    models: list[Model], measure: str, with_study: bool, footnoted: bool
) -> pd.DataFrame:
    """What is told first, as text: a row a network or an ensemble, a column a recipe.

    Args:
        measure: accuracy (in percent) or loss, on the test set.
        footnoted: mark ResNet50 at the study's settings.
    """
    digits, factor = ("{:.2f}", 100) if measure == "accuracy" else ("{:.3f}", 1)

    def written(*values: float) -> str:
        known = [digits.format(factor * value) for value in values if not np.isnan(value)]
        return " \u00b1 ".join(known)

    rows: dict[str, dict[str, str]] = {}
    for model in models:
        title = model.title.removesuffix(f" ({model.recipe})")
        row = rows.setdefault(title, {})
        if with_study and (mean := study.published(model.network, study.MEAN)):
            spread = study.published(model.network, study.SPREAD) or study.Score(np.nan, np.nan)
            row["study"] = written(getattr(mean, measure), getattr(spread, measure))
        metric, recipe = f"test_{measure}", f"recipe {model.recipe}"
        row[recipe] = written(model.mean(metric), model.standard_deviation(metric))
        if footnoted and model.name == "resnet-study":
            row[recipe] += "\u00b9"
        if len(model.runs) > 1:
            together = rows.setdefault(f"{title}, folds together", {})
            together[recipe] = written(getattr(model.together, measure))
    for recipe, members in runs.by_recipe(models).items():
        test = runs.together([model.together for model in members])
        row = rows.setdefault("all networks together", {})
        row[f"recipe {recipe}"] = written(getattr(test, measure))
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("answer").reset_index()


def loss_tests(models: list[Model]) -> pd.DataFrame:
    """Each pair of a recipe's networks that have the same folds, by their log losses.

    verdict: the network whose loss is lower; "" for no significant difference (Bonferroni).
    """
    rows = []
    for recipe, members in runs.by_recipe(models).items():
        pairs = list(combinations(members, 2))
        for one, other in pairs:
            if len(one.runs) == len(other.runs) > 1:
                test = paired_by_fold(one.scores["test_loss"], other.scores["test_loss"])
                lower = one if test["difference"] < 0 else other
                verdict = lower.network if test["p_value"] < SIGNIFICANT / len(pairs) else ""
                rows.append((recipe, one.network, other.network, *test.values(), verdict))
    numbers = ("difference", "low", "high", "t", "degrees_of_freedom", "p_value")
    return pd.DataFrame(rows, columns=["recipe", "first", "second", *numbers, "verdict"])


def loss_verdict(members: list[Model], tests: pd.DataFrame) -> str:
    """The mean log losses of one recipe's networks, the lowest first, and what is known of them."""
    ranked = sorted(members, key=lambda model: model.mean("test_loss"))
    best = ranked[0]
    losses = [f"{title_of(each.network)} {loss(each.mean('test_loss'))}" for each in ranked]
    text = f"Mean log loss: {listed(losses)}"
    tests = tests[tests["recipe"] == best.recipe]
    if tests.empty:
        return f"{text}."
    won = tests.loc[tests["verdict"] == best.network, ["first", "second"]].to_numpy()
    beaten = [title_of(each.network) for each in ranked[1:] if each.network in won]
    if not beaten:
        return f"{text}; {NO_DIFFERENCE}."
    return f"{text}; {title_of(best.network)} is significantly ahead of {listed(beaten)}."


def named(between: pd.DataFrame) -> pd.DataFrame:
    """Tests between networks with titles in place of keys."""
    columns = {name: between[name].map(title_of) for name in ("first", "second")}
    verdicts = between["verdict"].map(lambda key: title_of(key) if key else NO_DIFFERENCE)
    recipes = between["recipe"].map(lambda name: f"Recipe {name}")
    return between.assign(**columns, verdict=verdicts, recipe=recipes.map(titled))


def used_settings(models: list[Model], settings: Params) -> pd.DataFrame:
    """What every training was told, as it recorded it: a row a setting, a column a model."""
    columns = {}
    for model in models:
        recorded = {
            key: value
            for key, value in model.runs[0].training.items()
            if key not in ("classes", "best_epoch")
        }
        if name := recorded.get("features"):
            features = settings.features[name].model_dump(exclude_none=True)
            recorded |= {f"features: {key}": value for key, value in features.items()}
        columns[model.name] = {key.replace("_", " "): str(v) for key, v in recorded.items()}
    return pd.DataFrame(columns).rename_axis("setting").reset_index()


def beside_the_study(ours: dict[str, float], theirs: dict[str, float]) -> pd.DataFrame:
    """Columns name, study, ours."""
    rows = [(key.replace("_", " "), theirs.get(key), value) for key, value in ours.items()]
    return pd.DataFrame(rows, columns=["name", "study", "ours"])


def minutes(seconds: dict[str, float]) -> pd.DataFrame:
    """Columns stage, minutes; the longest first."""
    table = pd.DataFrame({"stage": seconds.keys(), "minutes": seconds.values()})
    table["minutes"] /= 60
    return table.sort_values("minutes", ascending=False)


def read_intervals(ablation: pd.DataFrame) -> pd.DataFrame:
    """`ablation` with titles for networks, and in words what each interval says."""

    def reading(row: pd.Series) -> str:
        if pd.isna(row["low"]):
            return ""
        if row["low"] <= 0 <= row["high"]:
            return "its interval holds 0"
        return "better" if row["low"] > 0 else "worse"

    networks = ablation["network"].map(title_of)
    return ablation.assign(network=networks, reading=ablation.apply(reading, axis=1))


def classes(model: Model, clean: dict[str, int], with_study: bool) -> pd.DataFrame:
    """Images of each class: columns name, study, training, test."""
    count = len(model.classes)
    return pd.DataFrame(
        {
            "name": model.classes,
            "study": study.LABEL_COUNTS if with_study else None,
            "training": [clean[f"label_{label}"] for label in range(count)],
            "test": np.bincount(model.runs[0].test.labels, minlength=count),
        }
    )


def with_temperatures(classifiers: pd.DataFrame, models: list[Model]) -> pd.DataFrame:
    """`classifiers` with what the temperature of each model's best training changes."""
    rows = {model.name: model.runs[model.best].metrics for model in models}
    keys = ["temperature", "calibrated_test_loss", "calibrated_test_calibration_error"]
    columns = pd.DataFrame.from_dict(rows, orient="index")[keys]
    return classifiers.join(columns, on="classifier")
