"""Compare the models with each other and with the study.

Reads what every training wrote under `metrics/{lenet,resnet,vgg}/`. Writes `metrics/compare.json`
and `plots/compare/`: every number of the study beside ours (results.csv), the epochs from which
each model overfits (overfitting.csv), precision, recall and F1 by class (per_class.csv), McNemar's
test between each pair (mcnemar.csv), all curves in one table (curves.csv) and the study's figure of
each training (curves/), a confusion table for each model, one row a test image (confusion/), and
the picture of the result (results.png); `plots/report.html`, the story of the run, with what the
stages before it wrote for Git; and `models/cards/`, a card for each model.

It needs neither data nor models, so a clone without DVC's cache can run it.
"""

from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from textwrap import wrap

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_fscore_support

from stages import params
from stages.cli import run
from stages.common import cards, figures, report
from stages.common.classes import class_names
from stages.common.evaluation import Results
from stages.common.files import atomic_folder, write_json
from stages.common.runs import TITLES, Trained
from stages.params import Params

METRICS = "metrics/compare.json"
OUTPUT = Path("plots/compare")
REPORT = "plots/report.html"
CARDS = Path("models/cards")
# Keras's own bound, so that a probability of 0 costs the same here as in its loss.
SMALLEST_PROBABILITY = 1e-7


def score(probabilities: np.ndarray, labels: np.ndarray) -> published.Score:
    """Cross-entropy and accuracy of probabilities (n, 10) for labels (n,)."""
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return published.Score(
        loss=float(-np.log(np.clip(of_label, SMALLEST_PROBABILITY, 1)).mean()),
        accuracy=float((probabilities.argmax(axis=1) == labels).mean()),
    )


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


def results_table(trained: Trained) -> pd.DataFrame:
    """Every number of the study beside ours, and ours where the study has none.

    `best_epoch_*` is what the epoch with the lowest validation loss gives on the test set.
    """
    rows = []

    def add(key: tuple[str, str], measure: str, ours: published.Score, best=(None, None)) -> None:
        model, recipe = key
        study = published.STUDY[model].get(measure) if recipe == "study" else None
        rows.append(
            {
                "model": TITLES[model],
                "recipe": recipe,
                "measure": measure,
                "study_loss": study.loss if study else None,
                "loss": ours.loss,
                "study_accuracy": study.accuracy if study else None,
                "accuracy": ours.accuracy,
                "best_epoch_loss": best[0],
                "best_epoch_accuracy": best[1],
            }
        )

    def of(training: Results, prefix: str) -> published.Score:
        return published.Score(
            training.metrics[f"{prefix}_loss"], training.metrics[f"{prefix}_accuracy"]
        )

    for key, trainings in trained.items():
        test = [of(training, "test") for training in trainings]
        best = [of(training, "best_epoch_test") for training in trainings]
        if key[0] == "lenet":
            for fold, (last_epoch, best_epoch) in enumerate(zip(test, best, strict=True), start=1):
                add(key, f"fold {fold}, test", last_epoch, best_epoch)
            for name, summarise in (
                ("mean of the folds, test", lambda scores: np.mean(scores, axis=0)),
                ("standard deviation", lambda scores: np.std(scores, axis=0, ddof=1)),
            ):
                add(key, name, published.Score(*summarise(test)), summarise(best))
            labels = trainings[0].labels
            add(key, "ensemble of the folds, test", score(classifiers.ensemble(trainings), labels))
        else:
            add(key, "last epoch, training", of(trainings[0], "train"))
            add(key, "last epoch, validation", of(trainings[0], "val"))
            add(key, "test", test[0], best[0])
    return pd.DataFrame(rows)


def per_class(
    predicted: dict[str, np.ndarray], labels: np.ndarray, names: tuple[str, ...]
) -> pd.DataFrame:
    tables = []
    for classifier, guesses in predicted.items():
        precision, recall, f1, _ = precision_recall_fscore_support(
            labels, guesses, labels=range(len(names)), zero_division=0
        )
        tables.append(
            pd.DataFrame(
                {
                    "classifier": classifier,
                    "class": names,
                    "precision": precision,
                    "recall": recall,
                    "f1": f1,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def training_names(
    trained: Trained,
) -> Iterator[tuple[str, str, Results]]:
    """File name, title and results of every training."""
    for (model, recipe), trainings in trained.items():
        for fold, training in enumerate(trainings, start=1):
            if model == "lenet":
                title = f"{TITLES[model]} ({recipe}), fold {fold} of {len(trainings)}"
                yield f"{model}-{recipe}-{fold}", title, training
            else:
                yield f"{model}-{recipe}", f"{TITLES[model]} ({recipe})", training


def all_curves(trained: Trained) -> pd.DataFrame:
    """Long form for `dvc plots`: columns training, data, epoch, accuracy, loss."""
    tables = []
    for name, _, training in training_names(trained):
        for data, prefix in (("training", ""), ("validation", "val_")):
            curves = training.curves
            tables.append(
                pd.DataFrame(
                    {
                        "training": name,
                        "data": data,
                        "epoch": curves["epoch"],
                        "accuracy": curves[f"{prefix}accuracy"],
                        "loss": curves[f"{prefix}loss"],
                    }
                )
            )
    return pd.concat(tables, ignore_index=True)


def overfits_from(training: Results) -> int | None:
    """The epoch after which validation loss only gets worse; None if it is the last."""
    best = int(training.metrics["best_epoch"])
    return best if best < len(training.curves) else None


def overfitting(trained: Trained) -> pd.DataFrame:
    """From which epochs each model overfits, in words: columns model, recipe, ours, study."""
    rows = []
    for (model, recipe), trainings in trained.items():
        turns = [overfits_from(training) for training in trainings]
        ours = ", ".join("the last" if turn is None else str(turn) for turn in turns)
        study = str(published.OVERFITS_FROM[model] or "not seen to overfit")
        rows.append({"model": TITLES[model], "recipe": recipe, "ours": ours, "study": study})
    return pd.DataFrame(rows)


def summary(trained: Trained) -> dict[str, float]:
    """The few numbers for `dvc metrics`: accuracies on the test and on the validation images.

    Those on validation images are to choose by. Any recipe but the study's is named.
    """
    numbers = {}
    for (model, recipe), trainings in trained.items():
        name = model if recipe == "study" else f"{model}_{recipe}"
        for key, measure in (("accuracy", "test_accuracy"), ("val_accuracy", "val_accuracy")):
            mean = np.mean([training.metrics[measure] for training in trainings])
            numbers[f"{name}_{key}"] = round(float(mean), 5)
    return numbers


def picture(table: pd.DataFrame, notes: list[str]) -> plt.Figure:
    """Test accuracies, ours and the study's, of every model, with what must be known of them."""
    measures = ["mean of the folds, test", "ensemble of the folds, test", "test"]
    shown = table[table["measure"].isin(measures)].iloc[::-1]
    names = [
        f"{row.model} ({row.recipe}{', ensemble' if row.measure.startswith('ensemble') else ''})"
        for row in shown.itertuples()
    ]
    figure, axes = plt.subplots(figsize=(8, 0.6 * len(shown) + 2.4))
    axes.hlines(names, 0, shown["accuracy"] * 100, color="lightgrey", lw=3, zorder=1)
    axes.scatter(shown["accuracy"] * 100, names, s=90, color=figures.TRAINING, label="this run")
    axes.scatter(
        shown["study_accuracy"] * 100,
        names,
        s=90,
        marker="D",
        facecolors="none",
        edgecolors=figures.VALIDATION,
        lw=2,
        label="the study",
    )
    for name, accuracy in zip(names, shown["accuracy"] * 100, strict=True):
        axes.annotate(
            f"{accuracy:.2f} %", (accuracy, name), (0, 9), textcoords="offset points", ha="center"
        )
    values = shown[["accuracy", "study_accuracy"]].to_numpy(dtype=float) * 100
    axes.set_xlim(max(0, np.nanmin(values) - 5), min(100, np.nanmax(values) + 3))
    axes.set(
        xlabel="test accuracy (%)",
        title="Test accuracy, this run and the study",
        ylim=(-0.6, len(shown) - 0.3),
    )
    axes.legend(loc="lower left", bbox_to_anchor=(-0.3, -0.25))
    lines = [line for note in notes for line in wrap(note, 105)]
    figure.supxlabel("\n".join(lines), x=0.02, ha="left", fontsize="small")
    return figure


def notes(settings: Params) -> list[str]:
    """What a reader of the table must know about this run."""
    origin = {
        "digits": "The images are scikit-learn's digits, not Fashion-MNIST; the study's are not.",
        "csv": f"The images are those of {settings.data.csv.train} and {settings.data.csv.test}: "
        "whether they are the study's is not known here.",
        "fashion_mnist": published.CAVEAT,
    }
    lines = [origin[settings.data.source]]
    random = [
        TITLES[model]
        for model, backbone in (("resnet", "resnet50"), ("vgg", "vgg16"))
        if getattr(settings.backbone, backbone).weights == "random"
    ]
    if random:
        lines.append(f"Random weights, not ImageNet's: {'; '.join(random)}.")
    return lines


def terminal_table(table: pd.DataFrame) -> str:
    def percent(value: float) -> str:
        return f"{value:.2%}"

    return table.to_string(
        index=False,
        na_rep="",
        float_format="{:.4f}".format,
        formatters={
            column: lambda value: "" if pd.isna(value) else percent(value)
            for column in table.columns
            if column.endswith("accuracy")
        },
    )


def main() -> None:
    settings = params.load()
    names = class_names(settings.data.source)
    trained = classifiers.load_all(settings)
    labels = next(iter(trained.values()))[0].labels
    predicted = classifiers.predictions(trained)
    table, turns = results_table(trained), overfitting(trained)
    by_class = per_class(predicted, labels, names)
    tests = pd.DataFrame(
        {"first": a, "second": b, **mcnemar(predicted[a], predicted[b], labels)}
        for a, b in combinations(predicted, 2)
    )

    with atomic_folder(OUTPUT) as folder:
        table.to_csv(folder / "results.csv", index=False, float_format="%.5f")
        turns.to_csv(folder / "overfitting.csv", index=False)
        tests.to_csv(folder / "mcnemar.csv", index=False, float_format="%.3g")
        by_class.to_csv(folder / "per_class.csv", index=False, float_format="%.4f")
        all_curves(trained).to_csv(folder / "curves.csv", index=False, float_format="%.6f")
        for name, title, training in training_names(trained):
            figures.save(
                figures.training_curves(training.curves, title), folder / "curves" / f"{name}.png"
            )
        (folder / "confusion").mkdir()
        for classifier, guesses in predicted.items():
            pd.DataFrame(
                {"actual": np.take(names, labels), "predicted": np.take(names, guesses)}
            ).to_csv(folder / "confusion" / f"{classifier}.csv", index=False)
        figures.save(picture(table, notes(settings)), folder / "results.png")
    write_json(METRICS, summary(trained))
    findings = report.Findings(
        results=table,
        overfitting=turns,
        per_class=by_class,
        mcnemar=tests,
        predicted=predicted,
        labels=labels,
        titles=classifiers.titles(trained),
        result=OUTPUT / "results.png",
        curves={
            title: OUTPUT / "curves" / f"{name}.png" for name, title, _ in training_names(trained)
        },
        notes=notes(settings),
    )
    report.write(REPORT, settings, findings)
    with atomic_folder(CARDS) as folder:
        cards.write(folder, settings, trained, findings)

    print(terminal_table(table))
    for note in notes(settings):
        print(f"\n{note}")
    print("\nEpoch of the lowest validation loss, after which a model overfits, fold by fold:")
    for row in turns.itertuples():
        print(f"  {row.model}, recipe {row.recipe}: {row.ours}; published: {row.study}")
    print("\nMcNemar's exact test on the test set:")
    for test in tests.itertuples():
        print(
            f"  only {test.first} right: {test.only_first_right}; only {test.second} right: "
            f"{test.only_second_right}; p "
            + (f"= {test.p_value:.2g}" if test.p_value > 1e-300 else "< 1e-300")
        )
    print(f"\ncompare: {report.headline(table, labels)}")


if __name__ == "__main__":
    run(main)
