"""Compare the models with each other and with the study.

Reads what the evaluations wrote under `metrics/`. Writes the few numbers to choose by,
`metrics/compare.json`; how sure `predict` may be, `models/exported/calibration.json`; and
`plots/compare/`:

- `results.csv`: every number of the study beside ours, with Wilson's interval of ours;
- `classifiers.csv`: a row a classifier, the ensembles among them, with its calibration;
- `between_networks.csv`: which network of a recipe is better, by `stages/results/ranking.py`;
- `against_study.csv`: Welch's test of LeNet-5's folds against the study's;
- `overfitting.csv`: the epoch of the lowest validation loss, model by model;
- `per_class.csv`: precision, recall and F1;
- `confusion.csv`: how often each class was taken for each;
- `curves.csv`: loss and accuracy by epoch of every training;
- `results.png`: the picture of the result.

It needs neither data nor models, so a clone without DVC's cache can run it.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from stages import params
from stages.base.files import atomic_folder, write_json
from stages.cli import run
from stages.results import evaluation, figures, picture, ranking, runs, study
from stages.results.evaluation import Predictions
from stages.results.runs import Classifier, Model
from stages.results.statistics import welch, wilson

METRICS = "metrics/compare.json"
CALIBRATION = "models/exported/calibration.json"
OUTPUT = Path("plots/compare")
# `predict` warns where it is less sure than a fold is of all but this share of its validation
# images.
LEAST_SURE = 0.02


def scores(test: Predictions) -> dict[str, float]:
    """Accuracy, with its interval (95 %) on ever more images like these, and loss."""
    interval = wilson(test.accuracy, len(test.labels))
    return {"accuracy": test.accuracy, **interval, "loss": test.loss}


def results_table(models: list[Model], with_study: bool) -> pd.DataFrame:
    """Every number of the study beside ours, and ours where the study has none.

    loss, accuracy: of several trainings their mean, unless the measure says otherwise.
    low, high: of `scores`.
    difference: of the accuracies, ours less the study's.
    """
    rows = []
    for model in models:
        mean, several = model.scores.mean(), len(model.runs) > 1
        measured = {
            study.TRAINING: {"accuracy": mean["train_accuracy"], "loss": mean["train_loss"]},
            study.VALIDATION: {"accuracy": mean["val_accuracy"], "loss": mean["val_loss"]},
        }
        for fold, one in enumerate(model.runs, start=1):
            measured[study.fold_test(fold) if several else study.TEST] = scores(one.test)
        if several:
            tests = pd.DataFrame({key: model.scores[f"test_{key}"] for key in ("accuracy", "loss")})
            measured |= {study.MEAN: tests.mean(), study.SPREAD: tests.std()}
            measured[study.TOGETHER] = scores(model.together)
        names = {"model": model.title, "network": model.network, "recipe": model.recipe}
        rows += [{**names, "measure": measure, **numbers} for measure, numbers in measured.items()]
    table = pd.DataFrame(rows)
    theirs = table.apply(lambda row: study.published(row["network"], row["measure"]), axis=1)
    table[["study_accuracy", "study_loss"]] = theirs.to_list() if with_study else np.nan
    difference = table["accuracy"] - table["study_accuracy"]
    return table.assign(difference=difference.mask(table["measure"] == study.SPREAD))


def against_study(models: list[Model]) -> pd.DataFrame:
    """Our folds' test accuracies against the study's, for LeNet-5, the only one that has them."""
    theirs, _ = np.transpose(study.FOLDS)
    rows = []
    for model in models:
        if model.network == "lenet":
            ours = model.scores["test_accuracy"]
            means = {"mean": ours.mean(), "study_mean": theirs.mean()}
            rows.append({"model": model.title, **means, **welch(ours, theirs)})
    return pd.DataFrame(rows)


def of_each(
    classifiers: list[Classifier], table: Callable[[Predictions], pd.DataFrame]
) -> pd.DataFrame:
    """The `table` of each classifier, one below the other, with its name and title before it."""
    tables = {(each.name, each.title): table(each.test) for each in classifiers}
    return pd.concat(tables, names=["classifier", "title"]).reset_index([0, 1])


def score_table(test: Predictions) -> pd.DataFrame:
    return pd.DataFrame([{**scores(test), "calibration_error": test.calibration_error}])


def per_class(test: Predictions, names: list[str]) -> pd.DataFrame:
    """Columns class, precision, recall, f1."""
    measures = precision_recall_fscore_support(
        test.labels, test.predicted, labels=range(len(names)), zero_division=0
    )
    columns = dict(zip(("precision", "recall", "f1"), measures, strict=False))
    return pd.DataFrame({"class": names, **columns})


def confusion_counts(test: Predictions, names: list[str]) -> pd.DataFrame:
    """Long form: columns actual, predicted, images; classes in label order."""
    counts = confusion_matrix(test.labels, test.predicted, labels=range(len(names)))
    table = pd.DataFrame(counts, pd.Index(names, name="actual"), names)
    return table.melt(ignore_index=False, var_name="predicted", value_name="images").reset_index()


def all_curves(models: list[Model]) -> pd.DataFrame:
    """Long form for `dvc plots`: columns training, title, data, epoch, accuracy, loss."""
    tables = {}
    for model in models:
        for fold, one in enumerate(model.runs, start=1):
            name, title = model.name, model.title
            if len(model.runs) > 1:
                name, title = f"{name}-{fold}", f"{title}, fold {fold} of {len(model.runs)}"
            for data, prefix in (("training", ""), ("validation", "val_")):
                part = one.curves[["epoch", f"{prefix}accuracy", f"{prefix}loss"]]
                columns = ["epoch", "accuracy", "loss"]
                tables[name, title, data] = part.set_axis(columns, axis="columns")
    return pd.concat(tables, names=["training", "title", "data"]).reset_index([0, 1, 2])


def overfitting(models: list[Model], with_study: bool) -> pd.DataFrame:
    """The epochs of the lowest validation loss, in words: columns model, ours, epochs, study."""
    rows = []
    for model in models:
        lowest = ", ".join(model.scores["best_epoch"].astype(str))
        as_the_study = with_study and model.recipe == "study"
        theirs = study.OVERFITS_FROM.get(model.network, "") if as_the_study else ""
        rows.append((model.title, lowest, len(model.runs[0].curves), theirs))
    return pd.DataFrame(rows, columns=["model", "ours", "epochs", "study"])


def summary(models: list[Model], classifiers: list[Classifier]) -> dict[str, float]:
    """The few numbers for `dvc metrics`; those on validation images are to choose by."""
    numbers = {}
    for model in models:
        for metric in ("val_accuracy", "test_accuracy", "test_loss"):
            numbers[f"{model.name}_{metric}"] = model.mean(metric)
        if len(model.runs) > 1:
            numbers[f"{model.name}_test_accuracy_sd"] = model.scores["test_accuracy"].std()
    for each in classifiers:
        if each.name not in [model.name for model in models]:
            numbers[f"{each.name}_test_accuracy"] = each.test.accuracy
            numbers[f"{each.name}_test_loss"] = each.test.loss
    for recipe, members in runs.by_recipe(models).items():
        validation = runs.together(runs.validated(members))
        numbers[f"all-{recipe}_val_accuracy"] = validation.accuracy
    return {name.replace("-", "_"): round(number, 5) for name, number in numbers.items()}


def calibration(model: Model) -> dict[str, float]:
    """How to read the probabilities of the folds of `model`, from their validation images alone.

    Every training image is a validation image of one fold. `temperature` is the one with the lowest
    loss on all of them; `threshold` is the largest probability at that temperature that all but
    `LEAST_SURE` of them reach.
    """
    (validation,) = runs.validated([model])
    temperature = evaluation.best_temperature(validation)
    largest = validation.at(temperature).probabilities.max(axis=1)
    threshold = float(np.quantile(largest, LEAST_SURE))
    return {"temperature": round(temperature, 4), "threshold": round(threshold, 4)}


def main() -> None:
    settings = params.load()
    models = runs.load_all(settings)
    names = models[0].classes
    with_study = study.is_its_data_set(settings.data)
    classifiers = runs.classifiers(models)
    between = ranking.between_networks(models)
    headline = ranking.headline(models, between)
    notes = [*study.notes(settings), study.footnote(settings)]

    with atomic_folder(OUTPUT) as folder:

        def write(content: pd.DataFrame, name: str, digits: str = "%.5f") -> None:
            content.to_csv(folder / name, index=False, float_format=digits)

        write(results_table(models, with_study), "results.csv", "%.6f")
        write(of_each(classifiers, score_table), "classifiers.csv")
        write(between, "between_networks.csv", "%.5g")
        if with_study:
            write(against_study(models), "against_study.csv", "%.5g")
        write(overfitting(models, with_study), "overfitting.csv")
        write(of_each(classifiers, partial(per_class, names=names)), "per_class.csv", "%.4f")
        write(of_each(classifiers, partial(confusion_counts, names=names)), "confusion.csv")
        write(all_curves(models), "curves.csv", "%.6f")
        figures.save(picture.draw(models, headline, with_study, notes), folder / "results.png")
    exported = next(m for m in models if (m.network, m.recipe) == ("lenet", settings.export.recipe))
    write_json(CALIBRATION, calibration(exported))
    write_json(METRICS, summary(models, classifiers))
    print(f"compare: {headline or OUTPUT}")


if __name__ == "__main__":
    run(main)
