"""Tell the story of the run on one page, and write a card for each model.

Reads what lies in Git: `metrics/`, `plots/` but for the page itself, `requirements.lock`, and
`full_run.yaml` beside this module, how long the run took that the repository holds. Writes
`plots/report.html`, which needs no other file and no network, and `models/cards/`. Nothing in them
(dates, absolute paths, how long this run took) differs between two runs with the same inputs.
"""

import io
from base64 import b64encode
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd
import yaml
from markupsafe import Markup
from PIL import Image

from stages import params
from stages.base.classes import class_names
from stages.base.files import atomic_file, atomic_folder, read_json, read_yaml
from stages.cli import run
from stages.params import Params
from stages.report import cards, charts, errors, formats, inputs, story, tables
from stages.report.formats import Table, called
from stages.report.inputs import compared, need, read_table
from stages.results import runs, study
from stages.results.runs import Model

PAGE = Path("plots/report.html")
CARDS = Path("models/cards")
TEMPLATES = Path(__file__).parent

# A palette makes a picture half as large. Fewer colours bend a heat map's scale; fewer pixels make
# the file larger, for they blur plain areas into shades.
PICTURE_COLORS = 128

SECTIONS = {
    "result": "The result",
    "beside": "The study beside this run",
    "ablation": "Step by step",
    "tests": "Are the differences real?",
    "confusion": "What is taken for what",
    "curves": "Training curves",
    "calibration": "How sure, and how often right",
    "tuning": "The tuner's trials",
    "data": "The data",
    "making": "How it was made",
}

# What `eda` draws, in the order of the story, but for what a table says as well. A figure that is
# not named here comes last.
CAPTIONS = {
    "samples": "The first training images of each class, a row each.",
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
IN_A_TABLE = ("class_balance",)


class Picture(NamedTuple):
    """For an <img>. `uri` holds all of it."""

    uri: str
    width: int
    height: int
    caption: str


class Dot(NamedTuple):
    """A line of the picture of the result; places are percent of its width.

    low, high: the ends of the interval.
    folds: of LeNet-5's mean, where each fold is.
    """

    title: str
    ours: str
    interval: str
    theirs: str
    difference: str
    place: float
    low: float | None
    high: float | None
    folds: list[float]
    study: float | None


class Curves(NamedTuple):
    """The curves of a model; `table` has the same numbers."""

    title: str
    accuracy: Markup
    loss: Markup
    epochs: int
    folds: int
    table: Table


def eda_pictures() -> list[Picture]:
    """The figures of `eda`.

    Raises:
        InputError: they are not there.
    """
    order = list(CAPTIONS)
    found = []
    for path in sorted(
        need(inputs.FIGURES, "eda").glob("*.png"),
        key=lambda path: (order.index(path.stem) if path.stem in order else len(order), path.stem),
    ):
        if path.stem not in IN_A_TABLE:
            caption = CAPTIONS.get(path.stem, path.stem.replace("_", " ").capitalize())
            file = io.BytesIO()
            with Image.open(path) as image:
                colors = image.convert("RGB").quantize(PICTURE_COLORS, dither=Image.Dither.NONE)
                colors.save(file, "PNG", optimize=True)
                uri = f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
                found.append(Picture(uri, *image.size, caption))
    return found


def picture_of_the_result(
    results: pd.DataFrame, classifiers: pd.DataFrame
) -> tuple[list[Dot], list[tuple[float, str]]]:
    """Every test accuracy, the best first, and the ticks of the axis."""
    shown = [(row, called(row["model"])) for row in story.scores(results).values()]
    shown = [
        (row, f"{title}, mean of the folds" if row["measure"] == story.MEAN else title)
        for row, title in shown
    ]
    together = classifiers[
        classifiers["classifier"].str.endswith("-folds")
        | classifiers["classifier"].str.startswith("all-")
    ]
    shown += [(row, called(row["title"])) for _, row in together.iterrows()]
    shown.sort(key=lambda item: -item[0]["accuracy"])

    folds = results[results["measure"].str.startswith("fold ")]
    theirs = results["study_accuracy"].dropna()
    lowest = min([row["accuracy"] for row, _ in shown] + [*theirs, *folds["accuracy"]])
    highest = max([row["accuracy"] for row, _ in shown] + [*theirs, *folds["accuracy"]])
    scale = charts.Scale(max(0.0, lowest - 0.02), min(1.0, highest + 0.02), 0, 100)

    dots = []
    for row, title in shown:
        is_mean = row.get("measure") == story.MEAN
        of_folds = folds.loc[folds["model"] == row["model"], "accuracy"] if is_mean else []
        study_accuracy = row.get("study_accuracy", float("nan"))
        known = not pd.isna(study_accuracy)
        bounded = not pd.isna(row["low"])
        dots.append(
            Dot(
                title,
                formats.percent(row["accuracy"]),
                formats.interval(row["low"], row["high"]),
                formats.percent(study_accuracy) if known else "",
                formats.difference(row["accuracy"], study_accuracy),
                scale(row["accuracy"]),
                scale(row["low"]) if bounded else None,
                scale(row["high"]) if bounded else None,
                [scale(value) for value in of_folds],
                scale(study_accuracy) if known else None,
            )
        )
    marks = charts.ticks(scale.low, scale.high, 6)
    return dots, [(scale(value), f"{100 * value:.0f}") for value in marks]


def all_curves(models: list[Model]) -> list[Curves]:
    """The curves of all models, on the same scales."""
    columns = {"accuracy": ["accuracy", "val_accuracy"], "loss": ["loss", "val_loss"]}
    frames = [one.curves for model in models for one in model.runs]
    limits = {
        measure: charts.rounded(
            0 if measure == "loss" else min(frame[names].min(axis=None) for frame in frames),
            max(frame[names].max(axis=None) for frame in frames),
        )
        for measure, names in columns.items()
    }
    found = []
    for model in models:
        title = called(model.title)
        drawn = [
            charts.learning_curves(
                [one.curves for one in model.runs],
                [one.metrics["best_epoch"] for one in model.runs],
                measure,
                limits[measure],
                f"{measure.capitalize()} by epoch: {title}. The table below has its numbers.",
            )
            for measure in columns
        ]
        epochs = len(model.runs[0].curves)
        found.append(Curves(title, *drawn, epochs, len(model.runs), tables.curves(model)))
    return found


def sections(with_study: bool, with_ablation: bool) -> dict[str, str]:
    """Titles by id, of those that this run has."""
    found = dict(SECTIONS)
    if not with_study:
        found["beside"] = "Every number"
    if not with_ablation:
        del found["ablation"]
    return found


def environment() -> jinja2.Environment:
    """Where the templates lie, and what they may use."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    functions = (formats.percent, formats.points, formats.loss, formats.counted, formats.listed)
    found.filters |= {function.__name__: function for function in functions}
    return found


def facts(settings: Params, models: list[Model]) -> dict[str, Any]:
    """All that the page is filled with, by the name that the template has for it.

    Raises:
        InputError: a file is not there that a stage writes.
    """
    names = class_names(settings.data)
    with_study = study.is_its_data_set(settings.data)
    classifiers = runs.classifiers(models)
    of_classifiers = compared("classifiers")
    titles = {row.classifier: called(row.title) for row in of_classifiers.itertuples()}
    results, confusion, per_class = (
        compared(name) for name in ("results", "confusion", "per_class")
    )
    mcnemar, reliability = compared("mcnemar"), compared("reliability")
    welch = compared("against_study") if with_study else None
    clean = read_json(need(inputs.CLEANING, "clean"))
    tune = read_json(need(inputs.TUNING, "tune"))
    trials = read_table(inputs.TRIALS, "tune")
    wrong = inputs.misclassified()
    scored = story.scores(results)
    dots, ticks = picture_of_the_result(results, of_classifiers)
    # Their numbers are of all of Fashion-MNIST, whatever this run is of.
    is_full = settings.data.source == "fashion_mnist"
    ablation, seeds = (
        pd.read_csv(path) if is_full and path.exists() else None
        for path in (inputs.ABLATION, inputs.SEEDS)
    )
    return {
        "sections": sections(with_study, ablation is not None),
        "settings": settings,
        "names": names,
        "with_study": with_study,
        "recipes": list(dict.fromkeys(model.recipe for model in models)),
        "lead": story.lead(
            of_classifiers,
            results,
            clean["test_rows"],
            [each.name for each in classifiers if each.random],
        ),
        "verdict": story.verdict(models, results, mcnemar, settings) if with_study else [],
        "notes": study.notes(settings),
        "dots": dots,
        "ticks": ticks,
        "changed": tables.settings_changed(models, settings),
        "results": tables.results(results, welch),
        "welch": [story.against_study(row) for _, row in welch.iterrows()] if with_study else [],
        "stated_mean": study.RESULTS["lenet"][story.MEAN].accuracy,
        "why": [
            (
                called(model.title),
                story.why(model, scored[model.network, model.recipe], settings, clean),
            )
            for model in models
        ]
        if with_study
        else [],
        "finished": story.finished(models, settings),
        "overfitting": tables.overfitting(compared("overfitting")),
        "best_epochs": tables.best_epochs(results),
        "ablation": None if ablation is None else tables.ablation("Step by step", ablation),
        "commands": [] if ablation is None else list(ablation["command"]),
        "seeds": None if seeds is None else tables.ablation("Other seeds", seeds),
        "by_seed": None if seeds is None else story.by_seed(seeds["test_accuracy"]),
        "pairs": len(mcnemar),
        "told_apart": story.told_apart(mcnemar),
        "mcnemar": tables.mcnemar("McNemar's exact test, each pair", mcnemar, titles),
        "alike": tables.not_told_apart(mcnemar, titles),
        "confusions": errors.confusions(confusion, titles, names),
        "per_class": [
            tables.per_class(per_class, measure, titles, names)
            for measure in ("f1", "recall", "precision")
        ],
        "wrong_in_words": errors.in_words(wrong),
        "tiles": errors.tiles(wrong, inputs.MISCLASSIFIED / "images.png"),
        "sheet": errors.data_uri(need(inputs.MISCLASSIFIED / "images.png", "misclassified")),
        "guesses": Markup(errors.guesses(wrong, classifiers, names)),
        "titles": titles,
        "curves": all_curves(models),
        "left": charts.LEFT,
        "right": charts.RIGHT,
        "width": charts.WIDTH,
        "calibration": tables.calibration(of_classifiers, models),
        "diagrams": [
            (
                title,
                charts.reliability(
                    reliability[reliability["classifier"] == name],
                    f"Reliability of {title}. The table below has its numbers.",
                ),
            )
            for name, title in titles.items()
        ],
        "reliability": tables.reliability(reliability, titles),
        "tune": tune,
        "hyperparameters": tables.hyperparameters(
            read_yaml(need(inputs.HYPERPARAMETERS, "tune")), with_study
        ),
        "trials": tables.trials(trials),
        "trials_chart": charts.trials(trials, tune["trial"], "Validation accuracy of the trials")
        if len(trials)
        else None,
        "rates": charts.legend_of_trials(trials),
        "clean": clean,
        "cleaning": tables.cleaning(clean, with_study),
        "classes": tables.classes(clean, confusion, names),
        "eda": eda_pictures(),
        "trainings": tables.trainings(models, settings),
        "full_run": (full_run := read_yaml(need(inputs.FULL_RUN))),
        "times": tables.times(full_run),
        "packages": tables.packages(need(inputs.PACKAGES).read_text(encoding="utf-8")),
        "params": yaml.safe_dump(
            settings.model_dump(exclude_none=True), sort_keys=False, default_flow_style=None
        ),
    }


def main() -> None:
    settings = params.load()
    models = runs.load_all(settings, study.random_networks(settings))
    templates = environment()
    page = templates.get_template("page.html.j2").render(facts(settings, models))
    with atomic_folder(CARDS) as folder:
        cards.write(folder, settings, models, templates.get_template("card.md.j2"))
    with atomic_file(PAGE) as unfinished:
        unfinished.write_text(page, encoding="utf-8", newline="\n")
    size = PAGE.stat().st_size / 1e6
    print(f"report: {PAGE}, {size:.2f} MB, and {len(models)} cards in {CARDS}")


if __name__ == "__main__":
    run(main)
