"""What the page shows and no other stage writes, made of models and of the tables of `compare`."""

from itertools import combinations

import numpy as np
import pandas as pd
from markupsafe import Markup

from stages.catalog import NETWORKS
from stages.params import Params
from stages.report.tables import listed, table, titled
from stages.results import runs, study
from stages.results.ranking import ALL
from stages.results.runs import Model
from stages.results.statistics import SIGNIFICANT, paired_by_fold

NO_DIFFERENCE = "no significant difference"
CAPTIONS = {"accuracy": "Test accuracy in percent", "loss": "Log loss on the test set"}
WRITTEN = {"accuracy": lambda share: f"{100 * share:.2f}", "loss": "{:.3f}".format}


def title_of(network: str) -> str:
    return "all together" if network == ALL else NETWORKS[network].title


def first_screen(
    results: pd.DataFrame, classifiers: pd.DataFrame, measure: str, footnoted: bool
) -> Markup:
    """The table that stands first: a row a network or an ensemble, a column a recipe.

    Args:
        results, classifiers: as `compare` wrote them.
        measure: accuracy (in percent) or loss.
        footnoted: mark ResNet50 at the study's settings.
    """
    write = WRITTEN[measure]
    titles, rows = {"study": "Study"}, {}
    for (network, recipe), group in results.groupby(["network", "recipe"], sort=False):
        ours = f"recipe {recipe}"
        titles[ours] = "Ours, " + ("study's settings" if recipe == "study" else ours)
        scores, title = group.set_index("measure"), group["model"].iloc[0].partition(" (")[0]
        mean = study.MEAN if study.MEAN in scores.index else study.TEST
        for column, key in (("study", f"study_{measure}"), (ours, measure)):
            values = [scores[key].get(name) for name in (mean, study.SPREAD)]
            text = " \u00b1 ".join(write(value) for value in values if pd.notna(value))
            mark = "\u00b9" if footnoted and (network, column) == ("resnet", "recipe study") else ""
            rows.setdefault(title, {})[column] = text + mark if text else None
        if study.TOGETHER in scores.index:
            together = scores[measure][study.TOGETHER]
            rows.setdefault(f"{title}, folds together", {})[ours] = write(together)
    for name, score in zip(classifiers["classifier"], classifiers[measure], strict=True):
        if (ours := name.replace("all-", "recipe ", 1)) in titles:
            rows.setdefault("All networks together", {})[ours] = write(score)
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("answer").reset_index()
    formats = dict.fromkeys(titles, str)
    return table(frame, {"answer": "Network", **titles}, formats, caption=CAPTIONS[measure])


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


def loss_verdict(results: pd.DataFrame, tests: pd.DataFrame, recipe: str) -> str:
    """The mean log losses of a recipe's networks, the lowest first, and what is known of them."""
    shown = (results["recipe"] == recipe) & results["measure"].isin([study.MEAN, study.TEST])
    losses = results[shown].set_index("network")["loss"].sort_values()
    texts = [f"{title_of(network)} {WRITTEN['loss'](value)}" for network, value in losses.items()]
    text = f"Mean log loss: {listed(texts)}"
    tests = tests[tests["recipe"] == recipe]
    if tests.empty:
        return f"{text}."
    best = losses.index[0]
    won = tests.loc[tests["verdict"] == best, ["first", "second"]].to_numpy()
    beaten = [title_of(network) for network in losses.index[1:] if network in won]
    if not beaten:
        return f"{text}; {NO_DIFFERENCE}."
    return f"{text}; {title_of(best)} is significantly ahead of {listed(beaten)}."


def named(tests: pd.DataFrame) -> pd.DataFrame:
    """Tests between networks with titles in place of keys."""
    columns = {name: tests[name].map(title_of) for name in ("first", "second")}
    verdicts = tests["verdict"].map(lambda key: title_of(key) if key else NO_DIFFERENCE)
    recipes = tests["recipe"].map(lambda name: titled(f"Ours ({name})"))
    return tests.assign(**columns, verdict=verdicts, recipe=recipes)


def used_settings(models: list[Model], settings: Params) -> Markup:
    """What every training was told, as it recorded it: a row a setting, a column a model."""
    columns = {}
    for model in models:
        recorded = model.runs[0].training
        used = {key: recorded[key] for key in recorded if key not in ("classes", "best_epoch")}
        if name := recorded.get("features"):
            features = settings.features[name].model_dump(exclude_none=True)
            used |= {f"features: {key}": value for key, value in features.items()}
        columns[model.name] = {key.replace("_", " "): str(value) for key, value in used.items()}
    frame = pd.DataFrame(columns).rename_axis("setting").reset_index()
    titles = {"setting": "Setting", **{model.name: titled(model.title) for model in models}}
    return table(frame, titles, caption="Settings of every training, as it recorded them")


def beside_the_study(ours: dict, theirs: dict, with_study: bool) -> pd.DataFrame:
    """Columns name, study, ours; a row for each key of `theirs`."""
    columns = {"study": theirs if with_study else {}, "ours": ours}
    frame = pd.DataFrame(columns).reindex(list(theirs))
    return frame.rename_axis("name").rename(index=lambda key: key.replace("_", " ")).reset_index()


def classes(model: Model, clean: dict[str, int], with_study: bool) -> pd.DataFrame:
    """Images of each class: columns name, study, training, test."""
    labels = range(len(model.classes))
    columns = {
        "name": model.classes,
        "study": study.LABEL_COUNTS if with_study else None,
        "training": [clean[f"label_{label}"] for label in labels],
        "test": np.bincount(model.runs[0].test.labels, minlength=len(labels)),
    }
    return pd.DataFrame(columns)


def with_temperatures(classifiers: pd.DataFrame, models: list[Model]) -> pd.DataFrame:
    """`classifiers` with what the temperature of each model's best training changes."""
    rows = {model.name: model.runs[model.best].metrics for model in models}
    keys = ["temperature", "calibrated_test_loss", "calibrated_test_calibration_error"]
    columns = pd.DataFrame.from_dict(rows, orient="index")[keys]
    return classifiers.join(columns, on="classifier")


def read_intervals(ablation: pd.DataFrame) -> pd.DataFrame:
    """`ablation` with titles for networks, and in words what each interval says."""
    holds_zero = (ablation["low"] <= 0) & (ablation["high"] >= 0)
    words = np.where(ablation["difference"] > 0, "better", "worse").astype(object)
    words[holds_zero] = "its interval holds 0"
    words[ablation["difference"].isna()] = None
    return ablation.assign(network=ablation["network"].map(title_of), reading=words)
