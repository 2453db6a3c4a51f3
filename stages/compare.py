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
- `reliability.csv`: how often each classifier is right, by how sure it is;
- `curves.csv`, `curves/`: all curves in one table, and the study's figure of each training;
- `results.png`: the picture of the result.

It needs neither data nor models, so a clone without DVC's cache can run it.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from stages import params
from stages.base.files import atomic_folder, write_json
from stages.cli import run
from stages.results import evaluation, figures, picture, ranking, runs, study
from stages.results.evaluation import Predictions, Run
from stages.results.runs import Classifier, Model
from stages.results.statistics import welch, wilson

METRICS = "metrics/compare.json"
CALIBRATION = "models/exported/calibration.json"
OUTPUT = Path("plots/compare")
# `predict` warns where it is less sure than a fold is of all but this share of its validation
# images.
LEAST_SURE = 0.02
KINDS = ("loss", "accuracy")


def results_table(models: list[Model], with_study: bool) -> pd.DataFrame:
    """Every number of the study beside ours, and ours where the study has none.

    loss, accuracy: of several trainings their mean, unless the measure says otherwise.
    difference: of the accuracies, ours less the study's.
    low, high: the interval (95 %) of the accuracy on ever more images like these.
    best_epoch_loss, best_epoch_accuracy: on the test set, with the weights of the epoch that has
        the lowest validation loss.
    """
    rows = []

    def add(model: Model, measure: str, loss: float, accuracy: float, **more: float) -> None:
        theirs = study.published(model.network, measure) if with_study else None
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
                "difference": accuracy - theirs.accuracy if theirs else None,
                **more,
            }
        )

    def add_test(model: Model, measure: str, scores: pd.Series, **more: float) -> None:
        best = {f"best_epoch_{kind}": scores[f"best_epoch_test_{kind}"] for kind in KINDS}
        add(model, measure, *(scores[f"test_{kind}"] for kind in KINDS), **best, **more)

    for model in models:
        scores, several = model.scores, len(model.runs) > 1
        for measure, prefix in ((study.TRAINING, "train"), (study.VALIDATION, "val")):
            add(model, measure, *(scores[f"{prefix}_{kind}"].mean() for kind in KINDS))
        for fold, one in enumerate(model.runs, start=1):
            measure = study.fold_test(fold) if several else study.TEST
            add_test(model, measure, scores.iloc[fold - 1], **interval(one.test))
        if several:
            add_test(model, study.MEAN, scores.mean())
            add_test(model, study.SPREAD, scores.std(), difference=None)
            test = model.together
            add(model, study.TOGETHER, test.loss, test.accuracy, **interval(test))
    return pd.DataFrame(rows)


def interval(test: Predictions) -> dict[str, float]:
    low, high = wilson(test.accuracy, len(test.labels))
    return {"low": low, "high": high}


def against_study(models: list[Model]) -> pd.DataFrame:
    """Our folds' test accuracies against the study's, for LeNet-5, the only one that has them."""
    theirs = [score.accuracy for score in study.FOLDS]
    rows = []
    for model in models:
        if model.network == "lenet":
            ours = model.scores["test_accuracy"]
            means = {"mean": ours.mean(), "study_mean": np.mean(theirs)}
            rows.append({"model": model.title, **means, **welch(ours, theirs)})
    return pd.DataFrame(rows)


def classifiers_table(classifiers: list[Classifier]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "classifier": each.name,
            "title": each.title,
            "accuracy": each.test.accuracy,
            **interval(each.test),
            "loss": each.test.loss,
            "calibration_error": each.test.calibration_error,
        }
        for each in classifiers
    )


def per_class(classifiers: list[Classifier], names: list[str]) -> pd.DataFrame:
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


def confusion_counts(classifiers: list[Classifier], names: list[str]) -> pd.DataFrame:
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
            if len(model.runs) > 1:
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
        theirs = study.OVERFITS_FROM.get(model.network, "") if with_study else ""
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
        name = f"{model.network}_{model.recipe}"
        for key in ("val_accuracy", "test_accuracy", "test_loss"):
            numbers[f"{name}_{key}"] = model.mean(key)
        if len(model.runs) > 1:
            numbers[f"{name}_test_accuracy_sd"] = model.standard_deviation("test_accuracy")
    for each in classifiers:
        if each.name not in [model.name for model in models]:
            name = each.name.replace("-", "_")
            numbers[f"{name}_test_accuracy"] = each.test.accuracy
            numbers[f"{name}_test_loss"] = each.test.loss
    for recipe, members in runs.by_recipe(models).items():
        validation = runs.together(runs.validated(members))
        numbers[f"all_{recipe}_val_accuracy"] = validation.accuracy
    return {name: round(number, 5) for name, number in numbers.items()}


def calibration(model: Model) -> dict[str, float | list[str]]:
    """How to read the probabilities of the folds of `model`, from their validation images alone.

    Every training image is a validation image of one fold. `temperature` is the one with the lowest
    loss on all of them; `threshold` is the largest probability at that temperature that all but
    `LEAST_SURE` of them reach.
    """
    (validation,) = runs.validated([model])
    temperature = evaluation.best_temperature(validation)
    largest = validation.at(temperature).probabilities.max(axis=1)
    threshold = float(np.quantile(largest, LEAST_SURE))
    return {
        "classes": model.classes,
        "temperature": round(temperature, 4),
        "threshold": round(threshold, 4),
    }


def main() -> None:
    settings = params.load()
    models = runs.load_all(settings)
    names = models[0].classes
    with_study = study.is_its_data_set(settings.data)
    classifiers = runs.classifiers(models)
    between = ranking.between_networks(models)
    notes = [*study.notes(settings), study.footnote(settings)]

    with atomic_folder(OUTPUT) as folder:

        def write(content: pd.DataFrame, name: str, digits: str = "%.5f") -> None:
            content.to_csv(folder / name, index=False, float_format=digits)

        write(results_table(models, with_study), "results.csv")
        write(classifiers_table(classifiers), "classifiers.csv")
        write(between, "between_networks.csv", "%.5g")
        if with_study:
            write(against_study(models), "against_study.csv", "%.5g")
        write(overfitting(models, with_study), "overfitting.csv")
        write(per_class(classifiers, names), "per_class.csv", "%.4f")
        write(confusion_counts(classifiers, names), "confusion.csv")
        write(reliability(classifiers), "reliability.csv")
        write(all_curves(models), "curves.csv", "%.6f")
        for name, title, one in trainings(models):
            figure = figures.training_curves(one.curves, title)
            figures.save(figure, folder / "curves" / f"{name}.png")
        figures.save(picture.draw(models, between, with_study, notes), folder / "results.png")
    exported = next(m for m in models if (m.network, m.recipe) == ("lenet", settings.export.recipe))
    write_json(CALIBRATION, calibration(exported))
    write_json(METRICS, summary(models, classifiers))
    print(f"compare: {ranking.headline(models, between) or OUTPUT}")


if __name__ == "__main__":
    run(main)
