"""The tables of the page, each from a file that a stage wrote."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from stages.params import Params
from stages.report import formats, story
from stages.report.formats import PERCENT, Table, called, counted, interval, listed, loss, percent
from stages.results import study
from stages.results.runs import Model

CLEANED = {
    "missing values": "nulls",
    "repeated rows": "repeated_rows",
    "rows dropped": "dropped_rows",
    "rows left": "rows",
    "repeated rows left": "repeated_rows_left",
}
PACKAGES = ("keras", "tensorflow", "keras-tuner", "scikit-learn", "numpy", "dvc")
SHORTEST = 0.05  # minutes; shorter stages are summed up


def _without_empty_columns(table: Table) -> Table:
    """Where nothing is known of the study, its columns go."""
    kept = [n for n in range(len(table.columns)) if n == 0 or any(row[n] for row in table.rows)]
    return replace(
        table,
        columns=[table.columns[n] for n in kept],
        rows=[[row[n] for n in kept] for row in table.rows],
    )


def results(frame: pd.DataFrame, against_study: pd.DataFrame | None) -> Table:
    """Every number of the study beside ours; its spread is from its own five folds."""
    theirs = frame["study_accuracy"].astype(float)
    if against_study is not None:
        spread = against_study.set_index("model")["study_standard_deviation"]
        is_spread = frame["measure"] == "standard deviation"
        theirs = theirs.mask(is_spread, frame["model"].map(spread))
    rows = []
    for row, study_accuracy in zip(frame.itertuples(), theirs, strict=True):
        rows.append(
            [
                row.measure,
                percent(study_accuracy),
                percent(row.accuracy),
                formats.difference(row.accuracy, row.study_accuracy),
                interval(row.low, row.high),
                loss(row.study_loss),
                loss(row.loss),
            ]
        )
    return _without_empty_columns(
        Table(
            "Accuracy and loss",
            [
                *("Measure", "Accuracy, the study", "Accuracy, this run", "Difference, points"),
                *(f"95{PERCENT} interval", "Loss, the study", "Loss, this run"),
            ],
            rows,
            groups=[called(title) for title in frame["model"]],
        )
    )


def best_epochs(frame: pd.DataFrame) -> Table:
    shown = frame.dropna(subset="best_epoch_accuracy")
    return Table(
        "The test set after the last epoch, and with the best epoch's weights",
        [
            *("Measure", "Accuracy, last epoch", "Accuracy, best epoch"),
            *("Loss, last epoch", "Loss, best epoch"),
        ],
        [
            [
                row.measure,
                *(percent(row.accuracy), percent(row.best_epoch_accuracy)),
                *(loss(row.loss), loss(row.best_epoch_loss)),
            ]
            for row in shown.itertuples()
        ],
        groups=[called(title) for title in shown["model"]],
    )


def overfitting(frame: pd.DataFrame) -> Table:
    rows = [
        [called(row["model"]), str(row["ours"]), f"{row['epochs']}", _text(row["study"])]
        for _, row in frame.iterrows()
    ]
    columns = ("Model", "Lowest validation loss in epoch", "Epochs", "The study sees it overfit")
    return _without_empty_columns(Table("Overfitting", columns, rows))


def _text(cell: Any) -> str:
    if pd.isna(cell):
        return ""
    return f"from epoch {cell}" if str(cell).isdigit() else str(cell)


def mcnemar(caption: str, frame: pd.DataFrame, titles: dict[str, str]) -> Table:
    return Table(
        caption,
        ["First", "Second", "Only the first right", "Only the second right", "p", "Better"],
        [
            [
                *(titles[row.first], titles[row.second]),
                *(f"{row.only_first_right:,}", f"{row.only_second_right:,}"),
                formats.p_value(row.p_value),
                "not told apart" if pd.isna(row.better) else titles[row.better],
            ]
            for row in frame.itertuples()
        ],
        sortable=True,
    )


def not_told_apart(frame: pd.DataFrame, titles: dict[str, str]) -> Table:
    """The pairs of `mcnemar` between which it does not decide."""
    table = mcnemar("Not told apart", frame[frame["better"].isna()], titles)
    return replace(table, columns=table.columns[:-1], rows=[row[:-1] for row in table.rows])


def per_class(
    frame: pd.DataFrame, measure: str, titles: dict[str, str], names: tuple[str, ...]
) -> Table:
    """A row a classifier, a column a class, in percent; the weaker, the stronger the shade."""
    values = frame.pivot(index="classifier", columns="class", values=measure)
    values = values.loc[list(titles), list(names)]
    shades = (1 - values) / max(1 - values.min(axis=None), 1e-9)
    caption = {"f1": "F1"}.get(measure, measure.capitalize())
    return Table(
        f"{caption} in percent",
        ["Classifier", *names],
        [
            [title, *(f"{100 * value:.2f}" for value in values.loc[name])]
            for name, title in titles.items()
        ],
        shades=shades.to_numpy().round(2).tolist(),
    )


def calibration(frame: pd.DataFrame, models: list[Model]) -> Table:
    """How far each classifier's sureness is from its accuracy, and what a temperature mends."""
    metrics = {model.name: model.runs[model.best].metrics for model in models}
    rows = []
    for row in frame.itertuples():
        found = metrics.get(row.classifier)
        mended = ["", "", ""]
        if found:
            mended = [
                f"{found['temperature']:.2f}",
                loss(found["calibrated_test_loss"]),
                percent(found["calibrated_test_calibration_error"]),
            ]
        rows.append([called(row.title), loss(row.loss), percent(row.calibration_error), *mended])
    return Table(
        "Calibration on the test set",
        [
            *("Classifier", "Loss", "Calibration error", "Temperature"),
            *("Loss at it", "Calibration error at it"),
        ],
        rows,
    )


def reliability(frame: pd.DataFrame, titles: dict[str, str]) -> Table:
    return Table(
        "How often each classifier is right by how sure it is",
        ["Mean sureness", "Right", "Images"],
        [
            [percent(row.confidence), percent(row.accuracy), f"{row.images:,}"]
            for row in frame.itertuples()
        ],
        groups=[titles[name] for name in frame["classifier"]],
    )


def curves(model: Model) -> Table:
    """By epoch; of several folds their mean."""
    columns = ["accuracy", "val_accuracy", "loss", "val_loss"]
    means = np.mean([run.curves[columns].to_numpy() for run in model.runs], axis=0)
    of_folds = f", mean of {len(model.runs)} folds" if len(model.runs) > 1 else ""
    return Table(
        f"{called(model.title)}{of_folds}",
        [
            *("Epoch", "Training accuracy", "Validation accuracy"),
            *("Training loss", "Validation loss"),
        ],
        [
            [f"{epoch}", percent(row[0]), percent(row[1]), loss(row[2]), loss(row[3])]
            for epoch, row in zip(model.runs[0].curves["epoch"], means, strict=True)
        ],
    )


def cleaning(clean: dict[str, int], with_study: bool) -> Table:
    return _without_empty_columns(
        Table(
            "The training set, cleaned",
            ["Count", "The study", "This run"],
            [
                [name, f"{study.CLEANING[key]:,}" if with_study else "", f"{clean[key]:,}"]
                for name, key in CLEANED.items()
            ],
        )
    )


def classes(clean: dict[str, int], confusion: pd.DataFrame, names: tuple[str, ...]) -> Table:
    first = confusion[confusion["classifier"] == confusion["classifier"].iloc[0]]
    test = first.groupby("actual")["images"].sum()
    return Table(
        "Images of each class",
        ["Class", "Training", "Test"],
        [
            [name, f"{clean[f'label_{label}']:,}", f"{test[name]:,}"]
            for label, name in enumerate(names)
        ],
    )


def hyperparameters(found: dict[str, float], with_study: bool) -> Table:
    return _without_empty_columns(
        Table(
            "LeNet-5's hyperparameters",
            ["Hyperparameter", "The study", "This run"],
            [
                [
                    key.replace("_", " "),
                    f"{study.HYPERPARAMETERS[key]:g}" if with_study else "",
                    f"{value:g}",
                ]
                for key, value in sorted(found.items(), reverse=True)
            ],
        )
    )


def trials(frame: pd.DataFrame) -> Table:
    return Table(
        "Every trial, in the order in which they ran",
        [
            *("Trial", "Bracket", "Round", "Units", "Learning rate", "Planned epochs"),
            *("Best epoch", "Validation accuracy", "Validation loss"),
        ],
        [
            [
                *(f"{row.trial:g}", f"{row.bracket:g}", f"{row.round:g}", f"{row.units:g}"),
                *(f"{row.learning_rate:g}", f"{row.first_epoch:g} to {row.last_epoch:g}"),
                *(f"{row.best_epoch:g}", percent(row.val_accuracy), loss(row.val_loss)),
            ]
            for row in frame.itertuples()
        ],
        sortable=True,
    )


def network_input(model: Model, settings: Params) -> str:
    """What the trained part of a network gets, in words."""
    if model.in_folds:
        return "the image, 28x28, scaled to 0-1"
    features = story.features_of(model, settings)
    pooled = {"none": "", "avg": ", averaged"}.get(features.pooling, f", {features.pooling}")
    prepared = "scaled to 0-1" if features.preprocessing == "unit" else "prepared as for ImageNet"
    weights = settings.backbone[features.backbone].weights
    return (
        f"{listed(story.layers_of(model, settings))}{pooled}, of a frozen "
        f"{story.NAMES[model.network]} with "
        f"{'random' if weights == 'random' else 'ImageNet'} weights; images of "
        f"{features.input_size}x{features.input_size}, {prepared}"
        + (", and mirrored" if features.mirrored else "")
    )


def trained_part(model: Model) -> str:
    recorded = model.runs[0].training
    if model.in_folds:
        return f"all of it, with {recorded['units']:,} units"
    return f"{recorded['dense_layers']} x {recorded['dense_units']:,} units and ten"


def trainings(models: list[Model], settings: Params) -> Table:
    """What was trained and how, as the trainings recorded it."""
    rows = []
    for model in models:
        recorded = model.runs[0].training
        rows.append(
            [
                called(model.title),
                network_input(model, settings),
                trained_part(model),
                f"{recorded['parameters']:,}",
                f"{recorded['learning_rate']:g}",
                f"{recorded['epochs']}",
                f"{recorded['batch_size']}",
                f"{recorded['training_images']:,}",
                f"{recorded['validation_images']:,}",
            ]
        )
    columns = [
        *("Model", "Input", "Trained", "Parameters", "Learning rate", "Epochs", "Batch"),
        *("Training images", "Validation images"),
    ]
    return Table("What was trained, and how", columns, rows)


def times(run: dict[str, Any]) -> Table:
    """How long each stage of the repository's own run took."""
    minutes = {stage: seconds / 60 for stage, seconds in run["seconds"].items()}
    total = sum(minutes.values())
    long = {stage: number for stage, number in minutes.items() if number >= SHORTEST}
    short = [number for number in minutes.values() if number < SHORTEST]
    rows = [
        [stage, f"{number:.1f}", f"{100 * number / total:.1f}{PERCENT}"]
        for stage, number in long.items()
    ]
    if short:
        name = counted(len(short), "shorter stage")
        rows.append([name, f"{sum(short):.1f}", f"{100 * sum(short) / total:.1f}{PERCENT}"])
    return Table(
        f"Minutes of each stage: {total / 60:.1f} hours in all",
        ["Stage", "Minutes", "Share"],
        rows,
    )


def packages(lock: str) -> list[tuple[str, str]]:
    """Name and version of the packages that matter most, from the text of `requirements.lock`."""
    found = []
    for name in PACKAGES:
        versions = re.findall(rf"^{re.escape(name)}==([^\s;]+)", lock, re.MULTILINE)
        if versions:
            found.append((name, " or ".join(dict.fromkeys(versions))))
    return found


def settings_changed(models: list[Model], settings: Params) -> Table | None:
    """What each other recipe has changed of the one that is called `study`; None without one."""
    studys = {model.network: _flat(model, settings) for model in models if model.recipe == "study"}
    rows, groups = [], []
    for model in models:
        theirs = studys.get(model.network)
        if theirs is None or model.recipe == "study":
            continue
        ours = _flat(model, settings)
        for key in dict.fromkeys([*theirs, *ours]):
            if theirs.get(key) != ours.get(key):
                rows.append([key.replace("_", " "), theirs.get(key, ""), ours.get(key, "")])
                groups.append(called(model.title))
    if not rows:
        return None
    columns = ("Setting", "The study's settings", "This recipe")
    return Table("What the other recipes change", columns, rows, groups)


def _flat(model: Model, settings: Params) -> dict[str, str]:
    """Every setting of a model, the tuned ones as they were used."""
    recorded = dict(model.runs[0].training)
    for key in ("parameters", "training_images", "validation_images", "best_epoch", "features"):
        recorded.pop(key, None)
    if not model.in_folds:
        features = story.features_of(model, settings).model_dump(exclude_none=True)
        features |= {"layers": listed(story.layers_of(model, settings))}
        features.pop("backbone")
        precision = features.pop("precision", None)
        recorded = {**features, **({"features_precision": precision} if precision else {})} | (
            recorded
        )
    return {key: _setting(value) for key, value in recorded.items()}


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def ablation(caption: str, frame: pd.DataFrame) -> Table:
    """As it was written down, a group a network, but for the commands, each as long as a page."""
    shown = frame.drop(columns=["network", "command"], errors="ignore")
    rows = [
        [
            percent(value)
            if "accuracy" in column and not isinstance(value, str)
            else _text_or_nothing(value)
            for column, value in row.items()
        ]
        for row in shown.to_dict("records")
    ]
    columns = [str(column).replace("_", " ").capitalize() for column in shown.columns]
    columns = [column.replace("Val ", "Validation ") for column in columns]
    return Table(caption, columns, rows, groups=list(frame["network"]))


def _text_or_nothing(value: Any) -> str:
    return "" if not isinstance(value, str) and pd.isna(value) else str(value)
