"""Compare the models with each other and with the study.

Reads what the evaluations wrote under `metrics/`. Writes the few numbers to choose by,
`metrics/compare.json`; how sure `make predict` may be, `models/exported/calibration.json`; and
`plots/compare/`:

- `results.csv`: every number of the study beside ours, with Wilson's interval of ours;
- `classifiers.csv`: a row a classifier, the ensembles among them, with its calibration;
- `against_study.csv`: Welch's test of LeNet-5's folds against the study's;
- `overfitting.csv`: the epoch of the lowest validation loss, model by model;
- `per_class.csv`: precision, recall and F1;
- `mcnemar.csv`: McNemar's test between each pair of classifiers;
- `confusion.csv`: how often each class was taken for each;
- `reliability.csv`: how often each classifier is right, by how sure it is;
- `curves.csv`, `curves/`: all curves in one table, and the study's figure of each training;
- `results.png`: the picture of the result.

It needs neither data nor models, so a clone without DVC's cache can run it.
"""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from textwrap import wrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import binomtest, ttest_ind
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from stages import params
from stages.base.classes import class_names
from stages.base.files import atomic_folder, write_json
from stages.cli import run
from stages.params import Params
from stages.results import evaluation, figures, runs, study
from stages.results.evaluation import Predictions, Run
from stages.results.runs import Classifier, Model

METRICS = "metrics/compare.json"
CALIBRATION = "models/exported/calibration.json"
OUTPUT = Path("plots/compare")
SIGNIFICANT = 0.05
# `make predict` warns where it is less sure than a fold is of all but this share of its validation
# images.
LEAST_SURE = 0.02
LOSS_ACCURACY = ("loss", "accuracy")


def wilson(accuracy: float, images: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy on so many images (Wilson 1927, JASA 22:209-212)."""
    found = binomtest(round(accuracy * images), images).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def results_table(models: list[Model], with_study: bool) -> pd.DataFrame:
    """Every number of the study beside ours, and ours where the study has none.

    `best_epoch_*` is what the epoch with the lowest validation loss gives on the test set. `low`
    and `high` are the interval (95 %) of the accuracy on ever more images like these.
    """
    rows = []

    def add(model: Model, measure: str, loss: float, accuracy: float, **more: float) -> None:
        theirs = study.RESULTS[model.network].get(measure) if with_study else None
        rows.append(
            {
                "model": model.title,
                "network": model.network,
                "recipe": model.recipe,
                "measure": measure,
                "study_loss": theirs.loss if theirs else None,
                "loss": loss,
                "study_accuracy": theirs.accuracy if theirs else None,
                "accuracy": accuracy,
                **more,
            }
        )

    def add_test(model: Model, measure: str, one: Run) -> None:
        low, high = wilson(one.test.accuracy, len(one.test.labels))
        best = {
            f"best_epoch_{kind}": one.metrics[f"best_epoch_test_{kind}"] for kind in LOSS_ACCURACY
        }
        add(model, measure, one.metrics["test_loss"], one.test.accuracy, low=low, high=high, **best)

    for model in models:
        if model.in_folds:
            for fold, one in enumerate(model.runs, start=1):
                add_test(model, f"fold {fold}, test", one)
            scores = pd.DataFrame([one.metrics for one in model.runs])
            for measure, numbers in (
                ("mean of the folds, test", scores.mean()),
                ("standard deviation", scores.std()),
            ):
                best = {f"best_epoch_{k}": numbers[f"best_epoch_test_{k}"] for k in LOSS_ACCURACY}
                add(model, measure, numbers["test_loss"], numbers["test_accuracy"], **best)
            together = runs.together([one.test for one in model.runs])
            low, high = wilson(together.accuracy, len(together.labels))
            measure = "folds together, test"
            add(model, measure, together.loss, together.accuracy, low=low, high=high)
        else:
            (one,) = model.runs
            for measure, prefix in (("training", "train"), ("validation", "val")):
                loss, accuracy = (one.metrics[f"{prefix}_{kind}"] for kind in LOSS_ACCURACY)
                add(model, f"last epoch, {measure}", loss, accuracy)
            add_test(model, "test", one)
    return pd.DataFrame(rows)


def against_study(models: list[Model]) -> pd.DataFrame:
    """Welch's t-test of our folds' test accuracies against the study's (Welch 1947)."""
    theirs = [
        score.accuracy for measure, score in study.RESULTS["lenet"].items() if "fold " in measure
    ]
    rows = []
    for model in models:
        if model.in_folds:
            ours = [one.test.accuracy for one in model.runs]
            found = ttest_ind(ours, theirs, equal_var=False)
            interval = found.confidence_interval()
            rows.append(
                {
                    "model": model.title,
                    "mean": np.mean(ours),
                    "standard_deviation": np.std(ours, ddof=1),
                    "study_mean": np.mean(theirs),
                    "study_standard_deviation": np.std(theirs, ddof=1),
                    "difference": np.mean(ours) - np.mean(theirs),
                    "low": interval.low,
                    "high": interval.high,
                    "t": found.statistic,
                    "degrees_of_freedom": found.df,
                    "p_value": found.pvalue,
                }
            )
    return pd.DataFrame(rows)


def classifiers_table(classifiers: list[Classifier]) -> pd.DataFrame:
    rows = []
    for classifier in classifiers:
        test = classifier.test
        low, high = wilson(test.accuracy, len(test.labels))
        rows.append(
            {
                "classifier": classifier.name,
                "title": classifier.title,
                "accuracy": test.accuracy,
                "low": low,
                "high": high,
                "loss": test.loss,
                "calibration_error": test.calibration_error,
            }
        )
    return pd.DataFrame(rows)


def mcnemar(first: np.ndarray, second: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """McNemar's exact test: do two classifiers err equally often on the same images?

    Under that hypothesis an image that only one of them gets right is as likely to be the one's as
    the other's (McNemar 1947, Psychometrika 12:153-157).

    Args:
        first, second: predicted labels (n,).
        labels: the true ones (n,).
    """
    only_first = int(((first == labels) & (second != labels)).sum())
    only_second = int(((first != labels) & (second == labels)).sum())
    discordant = only_first + only_second
    return {
        "only_first_right": only_first,
        "only_second_right": only_second,
        "p_value": binomtest(only_first, discordant).pvalue if discordant else 1.0,
    }


def mcnemar_table(classifiers: list[Classifier]) -> pd.DataFrame:
    """Each pair, and which of the two is better; "" where they are not told apart.

    By Bonferroni's bound: the more pairs are tested, the more it takes.
    """
    pairs = list(combinations(classifiers, 2))
    rows = []
    for first, second in pairs:
        test = mcnemar(first.test.predicted, second.test.predicted, first.test.labels)
        better = first if test["only_first_right"] > test["only_second_right"] else second
        significant = test["p_value"] < SIGNIFICANT / len(pairs)
        names = {"first": first.name, "second": second.name}
        rows.append({**names, **test, "better": better.name if significant else ""})
    return pd.DataFrame(rows)


def per_class(classifiers: list[Classifier], names: tuple[str, ...]) -> pd.DataFrame:
    tables = []
    for classifier in classifiers:
        precision, recall, f1, _ = precision_recall_fscore_support(
            classifier.test.labels,
            classifier.test.predicted,
            labels=range(len(names)),
            zero_division=0,
        )
        columns = {"class": names, "precision": precision, "recall": recall, "f1": f1}
        tables.append(pd.DataFrame({"classifier": classifier.name, **columns}))
    return pd.concat(tables, ignore_index=True)


def confusion_counts(classifiers: list[Classifier], names: tuple[str, ...]) -> pd.DataFrame:
    """Long form: columns classifier, title, actual, predicted, images; classes in label order."""
    tables = []
    for classifier in classifiers:
        counts = confusion_matrix(
            classifier.test.labels, classifier.test.predicted, labels=range(len(names))
        )
        table = pd.DataFrame(counts, pd.Index(names, name="actual"), names)
        long = table.melt(ignore_index=False, var_name="predicted", value_name="images")
        named = long.reset_index().assign(classifier=classifier.name, title=classifier.title)
        tables.append(named)
    columns = ["classifier", "title", "actual", "predicted", "images"]
    return pd.concat(tables, ignore_index=True)[columns]


def reliability(classifiers: list[Classifier]) -> pd.DataFrame:
    """Columns classifier, confidence, accuracy, images; a row a bin."""
    return pd.concat(
        evaluation.reliability(each.test).assign(classifier=each.name) for each in classifiers
    )[["classifier", "confidence", "accuracy", "images"]]


def trainings(models: list[Model]) -> Iterator[tuple[str, str, Run]]:
    """File name, title and run of every training."""
    for model in models:
        for fold, one in enumerate(model.runs, start=1):
            if model.in_folds:
                title = f"{model.title}, fold {fold} of {len(model.runs)}"
                yield f"{model.name}-{fold}", title, one
            else:
                yield model.name, model.title, one


def all_curves(models: list[Model]) -> pd.DataFrame:
    """Long form for `dvc plots`: columns training, title, data, epoch, accuracy, loss."""
    tables = []
    for name, title, one in trainings(models):
        for data, prefix in (("training", ""), ("validation", "val_")):
            tables.append(
                pd.DataFrame(
                    {
                        "training": name,
                        "title": title,
                        "data": data,
                        "epoch": one.curves["epoch"],
                        "accuracy": one.curves[f"{prefix}accuracy"],
                        "loss": one.curves[f"{prefix}loss"],
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def overfitting(models: list[Model], with_study: bool) -> pd.DataFrame:
    """The epochs of the lowest validation loss, in words: columns model, ours, epochs, study."""
    rows = []
    for model in models:
        lowest = [f"{one.metrics['best_epoch']:g}" for one in model.runs]
        theirs = study.OVERFITS_FROM[model.network] if with_study else ""
        rows.append(
            {
                "model": model.title,
                "ours": ", ".join(lowest),
                "epochs": len(model.runs[0].curves),
                "study": "not seen to overfit" if theirs is None else theirs,
            }
        )
    return pd.DataFrame(rows)


def summary(models: list[Model], classifiers: list[Classifier]) -> dict[str, float]:
    """The few numbers for `dvc metrics`; those on validation images are to choose by."""
    numbers = {}
    for model in models:
        for key in ("val_accuracy", "test_accuracy", "test_loss"):
            numbers[f"{model.network}_{model.recipe}_{key}"] = model.mean(key)
    for each in classifiers:
        if each.name not in [model.name for model in models]:
            numbers[f"{each.name.replace('-', '_')}_test_accuracy"] = each.test.accuracy
    return {name: round(number, 5) for name, number in numbers.items()}


def calibration(model: Model) -> dict[str, float]:
    """How to read the probabilities of the folds of `model`, from their validation images alone.

    Every training image is a validation image of one fold. `temperature` is the one with the lowest
    loss on all of them; `threshold` is the largest probability at that temperature that all but
    `LEAST_SURE` of them reach.
    """
    validation = Predictions(
        np.concatenate([one.validation.probabilities for one in model.runs]),
        np.concatenate([one.validation.labels for one in model.runs]),
    )
    temperature = evaluation.best_temperature(validation)
    largest = validation.at(temperature).probabilities.max(axis=1)
    threshold = float(np.quantile(largest, LEAST_SURE))
    return {"temperature": round(temperature, 4), "threshold": round(threshold, 4)}


def picture(table: pd.DataFrame, notes: list[str]) -> plt.Figure:
    """Test accuracies, ours and the study's, the best first, with what a reader must know."""
    measures = ["mean of the folds, test", "folds together, test", "test"]
    shown = table[table["measure"].isin(measures)].sort_values("accuracy")
    which = {measures[0]: ", mean of the folds", measures[1]: ", folds together", measures[2]: ""}
    # "The study" is the published one, in the legend.
    titles = shown["model"].str.replace("(study)", "(study's settings)", regex=False)
    names = titles + shown["measure"].map(which)
    ours, theirs = 100 * shown["accuracy"], 100 * shown["study_accuracy"].astype(float)
    rows = np.arange(len(shown))
    figure, axes = plt.subplots(figsize=(8, 0.6 * len(shown) + 2.4))
    for numbers, shift, options in (
        (ours, 9, {"color": figures.TRAINING_COLOR, "label": "this run"}),
        (
            theirs,
            -17,
            {
                "marker": "D",
                "facecolors": "none",
                "edgecolors": figures.VALIDATION_COLOR,
                "lw": 2,
                "label": "the study",
            },
        ),
    ):
        known = numbers.notna()
        axes.scatter(numbers[known], rows[known], s=80, **options)
        for number, row in zip(numbers[known], rows[known], strict=True):
            axes.annotate(
                f"{number:.2f} %",
                (number, row),
                (0, shift),
                textcoords="offset points",
                ha="center",
                fontsize="small",
            )
    values = np.concatenate([ours, theirs])
    axes.set_xlim(max(0, np.nanmin(values) - 3), min(100, np.nanmax(values) + 2))
    with_study = theirs.notna().any()
    axes.set(
        xlabel="test accuracy (%)",
        yticks=rows,
        yticklabels=names,
        title=f"Test accuracy, this run{' and the study' if with_study else ''}",
        ylim=(-0.7, len(shown) - 0.3),
    )
    if with_study:
        axes.legend(loc="lower left", bbox_to_anchor=(-0.3, -0.25))
    lines = [line for note in notes for line in wrap(note, 105)]
    figure.supxlabel("\n".join(lines), x=0.02, ha="left", fontsize="small")
    return figure


def terminal_table(table: pd.DataFrame) -> str:
    """Ours and the study's accuracies and losses, at most 80 columns wide.

    The difference is that of the two accuracies as they are shown.
    """
    theirs, ours = table["study_accuracy"].astype(float), table["accuracy"]
    shown = pd.DataFrame(
        {
            "model": table["model"].mask(table["model"].eq(table["model"].shift()), ""),
            "measure": table["measure"],
            "study": theirs,
            "ours": ours,
            "diff": (100 * ours).round(2) - (100 * theirs).round(2),
            "loss": table["loss"],
        }
    ).dropna(axis="columns", how="all")

    def blank_or(form: str) -> dict:
        return lambda value: "" if pd.isna(value) else form.format(value)

    percent, points, plain = blank_or("{:.2%}"), blank_or("{:+.2f}"), blank_or("{:.4f}")
    formatters = {"study": percent, "ours": percent, "diff": points, "loss": plain}
    return shown.to_string(index=False, formatters=formatters, na_rep="")


def check_same_images(classifiers: list[Classifier]) -> None:
    """All of them must have been evaluated on the same test set."""
    for classifier in classifiers:
        np.testing.assert_array_equal(classifier.test.labels, classifiers[0].test.labels)


def main() -> None:
    settings: Params = params.load()
    names = class_names(settings.data)
    with_study = study.is_its_data_set(settings.data)
    models = runs.load_all(settings, study.random_networks(settings))
    classifiers = runs.classifiers(models)
    check_same_images(classifiers)
    table, notes = results_table(models, with_study), study.notes(settings)

    with atomic_folder(OUTPUT) as folder:

        def write(content: pd.DataFrame, name: str, digits: str = "%.5f") -> None:
            content.to_csv(folder / name, index=False, float_format=digits)

        write(table, "results.csv")
        write(classifiers_table(classifiers), "classifiers.csv")
        if with_study:
            write(against_study(models), "against_study.csv", "%.5g")
        write(overfitting(models, with_study), "overfitting.csv")
        write(per_class(classifiers, names), "per_class.csv", "%.4f")
        write(mcnemar_table(classifiers), "mcnemar.csv", "%.3g")
        write(confusion_counts(classifiers, names), "confusion.csv")
        write(reliability(classifiers), "reliability.csv")
        write(all_curves(models), "curves.csv", "%.6f")
        for name, title, one in trainings(models):
            figure = figures.training_curves(one.curves, title)
            figures.save(figure, folder / "curves" / f"{name}.png")
        figures.save(picture(table, notes), folder / "results.png")
    exported = next(m for m in models if m.in_folds and m.recipe == settings.export.recipe)
    write_json(CALIBRATION, calibration(exported))
    write_json(METRICS, summary(models, classifiers))

    print(terminal_table(table))
    for note in notes:
        print(f"\n{note}")
    best = max((each for each in classifiers if not each.random), key=lambda it: it.test.accuracy)
    left_out = any(each.random for each in classifiers)
    print(
        f"\ncompare: best on the test set is {best.title}, with {best.test.accuracy:.2%} right"
        + (" (what rests on random weights is left out)" if left_out else "")
    )


if __name__ == "__main__":
    run(main)
