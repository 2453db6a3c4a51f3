"""The report: one HTML page with the whole story of a run, which opens without a network.

`report.html.j2` beside this module is the page; here is what it is filled with. Everything comes
from files that lie in Git, so a clone without DVC's cache can write it, and nothing in it (dates,
absolute paths, how long this run took) differs between two runs with the same inputs. The times are
those of the run that the repository holds, which whoever commits a run writes down.
"""

import io
import re
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
import pandas as pd
import yaml
from PIL import Image

from stages.cli import InputError
from stages.common import published
from stages.common.classes import class_names
from stages.common.figures import plt
from stages.common.files import atomic_file, read_json, read_yaml
from stages.common.images import SIDE
from stages.params import Params

TEMPLATE = "report.html.j2"
CLEANING = Path("metrics/clean.json")
TUNING = Path("metrics/tune.json")
TRIALS = Path("plots/tune/trials.csv")
FIGURES = Path("plots/eda")
MISCLASSIFIED = Path("plots/misclassified")
FULL_RUN = Path("docs/full_run.yaml")

# A palette makes a picture half as large. Fewer colours bend a heat map's scale; fewer pixels make
# the file larger, for they blur plain areas into shades.
PICTURE_COLORS = 128
SIGNIFICANT = 0.05
MINUS = "\N{MINUS SIGN}"
PERCENT = "\u202f%"  # with a narrow space that no line breaks at

SECTIONS = {
    "result": "The result",
    "data": "Data and cleaning",
    "figures": "A look at the images",
    "tuning": "The tuner's trials",
    "curves": "Training curves",
    "study": "The study's numbers beside ours",
    "confusion": "Confusion matrices",
    "classes": "Class by class",
    "tests": "Are the differences real?",
    "errors": "What every model gets wrong",
    "making": "How it was made",
}

# What `eda` draws, in the order of the story; a figure that is not named here comes last.
CAPTIONS = {
    "samples": "The first training images of each class, a row each.",
    "class_balance": "Training images of each class: is the set balanced?",
    "class_means": "The mean image of each class: what a class has in common, and how much of it "
    "is blurred by variety.",
    "pixel_histograms": "The histograms of all 784 pixels, each at its pixel's place. Pixels at "
    "the edge are nearly always black; those in the middle carry the image.",
    "single_pixel_histograms": "Eight of them, larger: four at the edge, four around the middle.",
    "box_plots": "Box plots of ten pixels from edge to edge. Towards the edges nearly every value "
    "but black counts as an outlier.",
    "correlation": "The correlation matrix of the pixels: all of it, and a part with its numbers. "
    "Neighbours go together.",
}


@dataclass(frozen=True)
class Findings:
    """What `compare` has found.

    results: every number of the study beside ours, as in `results.csv`.
    overfitting: columns model, recipe, ours, study; from which epochs each overfits, in words.
    per_class: columns classifier, class, precision, recall, f1.
    mcnemar: columns first, second, only_first_right, only_second_right, p_value.
    predicted: predicted labels (n_test,) by classifier.
    labels: the true ones (n_test,).
    titles: what to call each classifier.
    result: the picture of the result.
    curves: the figure of each training, by its title.
    notes: what a reader must know about this run.
    """

    results: pd.DataFrame
    overfitting: pd.DataFrame
    per_class: pd.DataFrame
    mcnemar: pd.DataFrame
    predicted: dict[str, np.ndarray]
    labels: np.ndarray
    titles: dict[str, str]
    result: Path
    curves: dict[str, Path]
    notes: list[str]


class Picture(NamedTuple):
    """For an <img>. `uri` holds all of it."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Table:
    """A table, whose cells are shown as they are.

    rows: each as long as `columns`.
    tall: scrolls in a box of its own, if it has many rows.
    words: cells have sentences that break into lines.
    """

    caption: str
    columns: list[str]
    rows: list[list[str]]
    tall: bool = False
    words: bool = False

    @property
    def numeric(self) -> list[bool]:
        """Which columns hold numbers only, and so go to the right."""
        columns = zip(*self.rows, strict=True) if self.rows else ["-"] * len(self.columns)
        return [all(map(_is_number, column)) for column in columns]


class Confusion(NamedTuple):
    """A confusion matrix. `counts`, `shares`: (10, 10), a row for each actual class."""

    title: str
    counts: list[list[int]]
    shares: list[list[float]]
    most_frequent: str


def _is_number(cell: str) -> bool:
    return bool(re.fullmatch(rf"(< )?[+{MINUS}-]?[\d,]*(\.\d+)?(e[+-]\d+)?(\s%)?", cell))


def need(path: Path, stage: str | None = None) -> Path:
    """`path`, which is there.

    Args:
        stage: that writes it; without one, it lies in Git.

    Raises:
        InputError: it is not there.
    """
    if not path.exists():
        way = f"`dvc repro` writes it, in the stage {stage}" if stage else "`git restore` it"
        raise InputError(f"{path} is missing; {way}")
    return path


def percent(share: float) -> str:
    return "" if pd.isna(share) else f"{100 * share:.2f}{PERCENT}"


def decimals(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.4f}"


def stated(value: float) -> str:
    """A number of the study with the digits that the study gives, and no others."""
    return "" if pd.isna(value) else f"{value:.5g}"


def stated_percent(share: float) -> str:
    return "" if pd.isna(share) else f"{stated(100 * share)}{PERCENT}"


def counted(number: int, noun: str) -> str:
    return f"{f'{number:,}' if number else 'no'} {noun}{'' if number == 1 else 's'}"


def picture(source: Path | io.BytesIO) -> Picture:
    """A PNG as a data: URI, in `PICTURE_COLORS` colours."""
    with Image.open(source) as image:
        return data_uri(image.convert("RGB").quantize(PICTURE_COLORS, dither=Image.Dither.NONE))


def data_uri(image: Image.Image) -> Picture:
    """`image` as PNG, all of it in the URI."""
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return Picture(f"data:image/png;base64,{b64encode(file.getvalue()).decode()}", *image.size)


def eda_pictures() -> list[tuple[str, Picture]]:
    """Caption and picture of every figure of `eda`."""
    paths = sorted(
        need(FIGURES, "eda").glob("*.png"),
        key=lambda path: (
            list(CAPTIONS).index(path.stem) if path.stem in CAPTIONS else len(CAPTIONS),
            path.stem,
        ),
    )
    return [
        (CAPTIONS.get(path.stem, path.stem.replace("_", " ").capitalize()), picture(path))
        for path in paths
    ]


def headline(results: pd.DataFrame, labels: np.ndarray) -> str:
    """The result in one sentence: who is best on the test set, and by how much."""
    mean = "mean of the folds, test"
    shown = results[results["measure"].isin([mean, "test"])].sort_values(
        "accuracy", ascending=False, kind="stable"
    )
    parts = []
    for row in shown.itertuples():
        name = row.model if results["recipe"].nunique() == 1 else f"{row.model} ({row.recipe})"
        remarks = ["mean of the folds"] if row.measure == mean else []
        if not pd.isna(row.study_accuracy):
            remarks.append(f"the study: {percent(row.study_accuracy)}")
        value = percent(row.accuracy)
        parts.append((name, value, f" ({'; '.join(remarks)})" if remarks else ""))
    (best, value, remark), *others = parts
    return (
        f"{best} is best on the {len(labels):,} test images, with {value} right{remark}"
        + "".join(f"; {name}: {value}{remark}" for name, value, remark in others)
        + "."
    )


def cleaning_table(clean: dict[str, int]) -> Table:
    """The study's counts beside ours."""
    rows = {
        "missing values": "nulls",
        "repeated rows": "repeated_rows",
        "rows dropped": "dropped_rows",
        "rows left": "rows",
        "repeated rows left": "repeated_rows_left",
    }
    study = published.CLEANING
    return Table(
        "The training set, cleaned",
        ["Count", "The study", "This run"],
        [[name, f"{study[key]:,}", f"{clean[key]:,}"] for name, key in rows.items()],
    )


def classes_table(clean: dict[str, int], labels: np.ndarray, names: tuple[str, ...]) -> Table:
    test = np.bincount(labels, minlength=len(names))
    return Table(
        "Images of each class",
        ["Class", "Training", "Test"],
        [
            [name, f"{clean[f'label_{label}']:,}", f"{test[label]:,}"]
            for label, name in enumerate(names)
        ],
    )


def trials_table(trials: pd.DataFrame) -> Table:
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
                *(f"{row.best_epoch:g}", percent(row.val_accuracy), decimals(row.val_loss)),
            ]
            for row in trials.itertuples()
        ],
        tall=True,
    )


def trials_figure(trials: pd.DataFrame, chosen: int) -> plt.Figure:
    """Validation accuracy of every trial by its units, coloured by its learning rate.

    Args:
        chosen: the number of the trial whose hyperparameters were taken.
    """
    figure, axes = plt.subplots(figsize=(9, 4.2))
    rates = sorted(trials["learning_rate"].unique())
    for rate, marker in zip(rates, "osD^vPX*" * len(rates), strict=False):
        of_rate = trials[trials["learning_rate"] == rate]
        axes.scatter(
            of_rate["units"],
            100 * of_rate["val_accuracy"],
            marker=marker,
            s=45,
            alpha=0.85,
            label=f"{rate:g}",
        )
    best = trials[trials["trial"] == chosen]
    axes.scatter(
        best["units"],
        100 * best["val_accuracy"],
        s=220,
        facecolors="none",
        edgecolors="black",
        lw=1.5,
        label="chosen",
    )
    axes.set(xlabel="units of the first dense layer", ylabel="validation accuracy (%)")
    axes.set_title("The tuner's trials")
    figure.legend(title="learning rate", loc="outside right upper")
    return figure


def tuning_table(tune: dict[str, float]) -> Table:
    study = published.HYPERPARAMETERS
    return Table(
        "LeNet-5's hyperparameters",
        ["Hyperparameter", "The study", "This run"],
        [
            [name, f"{study[key]:g}", f"{tune[key]:g}"]
            for name, key in (("units", "units"), ("learning rate", "learning_rate"))
        ],
    )


def results_table(results: pd.DataFrame) -> Table:
    columns = [
        *("Model (recipe)", "Measure", "Accuracy, the study", "Accuracy, ours"),
        *("Difference, points", "Loss, the study", "Loss, ours"),
    ]
    rows = []
    for row in results.itertuples():
        gap = 100 * (row.accuracy - row.study_accuracy)
        rows.append(
            [
                *(f"{row.model} ({row.recipe})", row.measure),
                stated_percent(row.study_accuracy),
                percent(row.accuracy),
                "" if pd.isna(gap) else f"{gap:+.2f}".replace("-", MINUS),
                stated(row.study_loss),
                decimals(row.loss),
            ]
        )
    return Table("Every number of the study beside ours", columns, rows)


def best_epoch_table(results: pd.DataFrame) -> Table:
    return Table(
        "The test set after the last epoch, and with the best epoch's weights",
        [
            *("Model (recipe)", "Measure", "Accuracy, last epoch", "Accuracy, best epoch"),
            *("Loss, last epoch", "Loss, best epoch"),
        ],
        [
            [
                *(f"{row.model} ({row.recipe})", row.measure),
                *(percent(row.accuracy), percent(row.best_epoch_accuracy)),
                *(decimals(row.loss), decimals(row.best_epoch_loss)),
            ]
            for row in results.dropna(subset="best_epoch_accuracy").itertuples()
        ],
    )


def overfitting_table(overfitting: pd.DataFrame) -> Table:
    return Table(
        "From which epoch each model overfits",
        ["Model (recipe)", "Lowest validation loss in epoch", "The study sees it from epoch"],
        [
            [f"{row.model} ({row.recipe})", row.ours, row.study]
            for row in overfitting.itertuples(index=False)
        ],
    )


def confusion(
    title: str, guesses: np.ndarray, labels: np.ndarray, names: tuple[str, ...]
) -> Confusion:
    """How often each class was taken for each. `guesses`, `labels`: (n_test,)."""
    counts = np.zeros((len(names), len(names)), int)
    np.add.at(counts, (labels, guesses), 1)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    wrong = counts - np.diag(counts.diagonal())
    actual, guess = np.unravel_index(wrong.argmax(), wrong.shape)
    most_frequent = (
        f"Most frequent confusion: {names[actual]} taken for {names[guess]}, "
        f"{counted(wrong.max(), 'image')}."
        if wrong.any()
        else "Every image is right."
    )
    return Confusion(title, counts.tolist(), shares.round(2).tolist(), most_frequent)


def per_class_table(per_class: pd.DataFrame, titles: dict[str, str]) -> Table:
    return Table(
        "Precision, recall and F1 on the test set",
        ["Classifier", "Class", "Precision", "Recall", "F1"],
        [
            [
                *(titles[row.classifier], row[2]),
                *(percent(row.precision), percent(row.recall), percent(row.f1)),
            ]
            for row in per_class[["classifier", "class", "precision", "recall", "f1"]].itertuples()
        ],
        tall=True,
    )


def mcnemar_table(mcnemar: pd.DataFrame, titles: dict[str, str]) -> Table:
    """With a verdict: Bonferroni's bound, so that the more pairs are tested the more it takes."""
    rows = []
    for test in mcnemar.itertuples():
        better = test.first if test.only_first_right > test.only_second_right else test.second
        told_apart = test.p_value < SIGNIFICANT / len(mcnemar)
        rows.append(
            [
                *(titles[test.first], titles[test.second]),
                *(f"{test.only_first_right:,}", f"{test.only_second_right:,}"),
                f"{test.p_value:.2g}" if test.p_value >= 1e-99 else "< 1e-99",
                titles[better] if told_apart else "not told apart",
            ]
        )
    return Table(
        "McNemar's exact test, each pair",
        ["First", "Second", "Only the first right", "Only the second right", "p", "Better"],
        rows,
    )


def misclassified_table(misclassified: pd.DataFrame, titles: dict[str, str]) -> Table:
    """The images that no classifier gets right, by their place in the test set from 0."""
    return Table(
        f"The {counted(len(misclassified), 'test image')} that no classifier gets right",
        ["Index", "Actual", *(titles[classifier] for classifier in misclassified.columns[2:])],
        misclassified.astype(str).to_numpy().tolist(),
        tall=True,
    )


def misclassified_pictures(misclassified: pd.DataFrame) -> list[tuple[str, Picture]]:
    """Caption and picture of each of them, cut out of the sheet that `export` wrote."""
    found = []
    with Image.open(need(MISCLASSIFIED / "images.png", "export")) as sheet:
        columns = sheet.width // SIDE
        for number, row in enumerate(misclassified.itertuples(index=False)):
            left, top = SIDE * (number % columns), SIDE * (number // columns)
            image = sheet.crop((left, top, left + SIDE, top + SIDE))
            (guess, votes), *_ = Counter(row[2:]).most_common(1)
            if votes == len(row[2:]):
                taken_for = f"all say {guess}"
            elif 2 * votes > len(row[2:]):
                taken_for = f"mostly {guess}"
            else:
                taken_for = f"taken for {' or '.join(dict.fromkeys(row[2:]))}"
            found.append((f"{row[0]}: {row[1]}; {taken_for}", data_uri(image)))
    return found


def misclassified_in_words(misclassified: pd.DataFrame) -> str:
    by_class = misclassified["actual"].value_counts()
    most = list(by_class.index[by_class == by_class.max()])
    if not most:
        return "There is none: every image is classified correctly by one model at least."
    return (
        f"{counted(len(misclassified), 'test image')}, most often of the class "
        f"{' or '.join(most)} ({by_class.max():,})."
    )


def times_table(run: dict[str, Any]) -> Table:
    """How long each stage of the repository's own run took."""
    total = sum(run["seconds"].values())
    rows = [
        [stage, f"{seconds / 60:.1f}", f"{100 * seconds / total:.1f}{PERCENT}"]
        for stage, seconds in run["seconds"].items()
    ]
    return Table(
        f"Minutes of each stage: {total / 3600:.1f} hours in all",
        ["Stage", "Minutes", "Share"],
        rows,
        tall=True,
    )


def lenet_parameters(units: int) -> int:
    """How many numbers LeNet-5 learns: two convolutions and three dense layers, with biases."""
    convolutions = 32 * (5 * 5 * 1 + 1) + 48 * (5 * 5 * 32 + 1)
    return convolutions + units * (5 * 5 * 48 + 1) + 84 * (units + 1) + 10 * (84 + 1)


def models_table(settings: Params, tune: dict[str, float]) -> Table:
    """What was trained, and how."""
    rows = []
    for name, recipe in settings.lenet.items():
        units = tune["units"] if recipe.units == "tuned" else recipe.units
        rate = tune["learning_rate"] if recipe.learning_rate == "tuned" else recipe.learning_rate
        rows.append(
            [
                *("LeNet-5", name, "the image, 28x28, scaled to 0-1"),
                f"all {lenet_parameters(units):,} parameters, with {units:,} units",
                *(f"{rate:g}", f"{recipe.epochs}", f"{recipe.batch_size}"),
                f"{len(settings.cv.folds)} folds",
            ]
        )
    for model, backbone, title in (("resnet", "resnet50", "ResNet50"), ("vgg", "vgg16", "VGG16")):
        for name, recipe in getattr(settings, model).items():
            frozen = getattr(settings.backbone, backbone)
            features = getattr(settings.features, backbone)[name]
            scaled = "scaled to 0-1" if features.preprocessing == "unit" else "as for ImageNet"
            pooled = ", average" if features.pooling == "avg" else ""
            rows.append(
                [
                    *(f"{title}, frozen", name),
                    f"{frozen.layer}{pooled}, {frozen.weights} weights, of "
                    f"{features.input_size}x{features.input_size}, {scaled}",
                    f"a head: {recipe.dense_layers} x {recipe.dense_units:,} units",
                    *(f"{recipe.learning_rate:g}", f"{recipe.epochs}", f"{recipe.batch_size}"),
                    f"the last {stated_percent(recipe.validation_split)}",
                ]
            )
    columns = [
        *("Model", "Recipe", "Input", "Trained", "Learning rate", "Epochs", "Batch"),
        "Validated on",
    ]
    return Table("What was trained, and how", columns, rows, words=True)


def environment() -> jinja2.Environment:
    """Where the templates lie, and what they may use."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    formats = (percent, stated_percent, decimals, stated, counted)
    found.filters |= {function.__name__: function for function in formats}
    return found


def render(settings: Params, findings: Findings) -> str:
    """The page.

    Raises:
        InputError: a file of `clean`, `eda`, `tune` or `export` is not there.
    """
    names = class_names(settings.data)
    clean = read_json(need(CLEANING, "clean"))
    tune = read_json(need(TUNING, "tune"))
    trials = pd.read_csv(need(TRIALS, "tune"))
    trials_picture = None
    if len(trials):
        file, figure = io.BytesIO(), trials_figure(trials, tune["trial"])
        figure.savefig(file)
        plt.close(figure)
        trials_picture = picture(file)
    misclassified = pd.read_csv(need(MISCLASSIFIED / "images.csv", "export"))
    full_run = read_yaml(need(FULL_RUN))
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            sections=SECTIONS,
            headline=headline(findings.results, findings.labels),
            notes=findings.notes,
            result=picture(findings.result),
            clean=clean,
            duplicates=settings.clean.duplicates,
            cleaning=cleaning_table(clean),
            classes=classes_table(clean, findings.labels, names),
            eda=eda_pictures(),
            tune=tune,
            settings=settings,
            tuning=tuning_table(tune),
            trials=trials_table(trials),
            trials_picture=trials_picture,
            curves=[(title, picture(path)) for title, path in findings.curves.items()],
            results=results_table(findings.results),
            best_epoch=best_epoch_table(findings.results),
            overfitting=overfitting_table(findings.overfitting),
            names=names,
            confusions=[
                confusion(findings.titles[name], guesses, findings.labels, names)
                for name, guesses in findings.predicted.items()
            ],
            per_class=per_class_table(findings.per_class, findings.titles),
            mcnemar=mcnemar_table(findings.mcnemar, findings.titles),
            pairs=len(findings.mcnemar),
            misclassified=misclassified_table(misclassified, findings.titles),
            misclassified_in_words=misclassified_in_words(misclassified),
            misclassified_pictures=misclassified_pictures(misclassified),
            full_run=full_run,
            times=times_table(full_run),
            models=models_table(settings, tune),
            params=yaml.safe_dump(
                settings.model_dump(), sort_keys=False, default_flow_style=None, width=88
            ),
        )
    )


def write(path: Path | str, settings: Params, findings: Findings) -> None:
    """Write the page, in one piece and with line ends that do not depend on the machine."""
    page = render(settings, findings)
    with atomic_file(path) as unfinished:
        unfinished.write_text(page, encoding="utf-8", newline="\n")
