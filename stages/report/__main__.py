"""Show the run on one page, and write a card for each model.

Reads what lies in Git: `metrics/`, `plots/` but for the page itself, and `requirements.lock`.
Writes `plots/report.html`, which needs no other file and no network, and `models/cards/`. Nothing
in them (dates, absolute paths, how long this run took) differs between two runs with the same
inputs.
"""

import io
import re
from base64 import b64encode
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import yaml
from markupsafe import Markup
from PIL import Image

from stages import params
from stages.base.files import atomic_file, atomic_folder, read_json, read_yaml, readable
from stages.catalog import NETWORKS
from stages.cli import run
from stages.params import Params
from stages.report import cards, charts, errors, frames, tables
from stages.report.tables import titled
from stages.results import ranking, runs, study
from stages.results.runs import Model

PAGE = Path("plots/report.html")
CARDS = Path("models/cards")
COMPARISON = Path("plots/compare")
MISCLASSIFIED = Path("plots/misclassified")
FIGURES = Path("plots/eda")
TRIALS = Path("plots/tune/trials.csv")
# Of the repository's own runs on all images; a project of one's own may have neither.
FULL_RUN = Path("metrics/full_run.yaml")
ABLATION = Path("metrics/ablation.csv")
PACKAGES = ("keras", "tensorflow", "keras-tuner", "scikit-learn", "numpy", "dvc")
# A palette halves a picture. Fewer colours bend a heat map's scale.
PICTURE_COLOURS = 128

SECTIONS = {
    "result": "The result",
    "numbers": "Every number",
    "ablation": "Step by step",
    "tests": "Differences between networks",
    "confusion": "Errors",
    "curves": "Training curves",
    "calibration": "Calibration",
    "settings": "Settings",
    "data": "The data",
    "making": "How it was made",
}
# Figures of `eda`, in the order of the page.
CAPTIONS = {
    "samples": "The first training images of each class, a row each.",
    "class_means": "The mean image of each class.",
    "pixel_histograms": "The histogram of each of the 784 pixels, at its pixel's place.",
    "single_pixel_histograms": "Eight of them: four at the edge, four around the middle.",
    "box_plots": "Box plots of ten pixels from edge to edge.",
    "correlation": "The correlation matrix of the pixels, and a part of it with its numbers.",
}
CLEANED = {
    "nulls": "missing values",
    "repeated_rows": "repeated rows",
    "dropped_rows": "rows dropped",
    "rows": "rows left",
    "repeated_rows_left": "repeated rows left",
}


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file of the pipeline's. Only an empty cell is missing: a class may be called NA.

    Raises:
        InputError: it is not there.
    """
    names = dict.fromkeys(("class", "actual", "predicted"), str)
    with readable(path):
        return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=names)


def data_uri(path: Path) -> str:
    with readable(path):
        return f"data:image/png;base64,{b64encode(path.read_bytes()).decode()}"


def picture(path: Path) -> str:
    """A picture with a palette, as a data URI."""
    content = io.BytesIO()
    with readable(path), Image.open(path) as image:
        colours = image.convert("RGB").quantize(PICTURE_COLOURS, dither=Image.Dither.NONE)
        colours.save(content, "PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(content.getvalue()).decode()}"


def packages() -> dict[str, str]:
    """Versions of the packages that matter most, by name, as `requirements.lock` pins them."""
    lock = Path("requirements.lock").read_text(encoding="utf-8")
    pinned = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE))
    return {name: pinned[name] for name in PACKAGES if name in pinned}


def compared() -> dict[str, pd.DataFrame]:
    """The tables of `compare`, by name, with "study's settings" for our recipe of that name.

    Raises:
        InputError: one is not there.
    """
    with readable(COMPARISON / "results.csv"):
        found = {path.stem: read_table(path) for path in sorted(COMPARISON.glob("*.csv"))}
    for frame in found.values():
        for column in {"model", "title"} & set(frame):
            frame[column] = frame[column].map(titled)
    return found


def curves_of(models: list[Model]) -> dict[str, list[Markup]]:
    """Accuracy and loss by epoch of each model, on the same scales; by the model's title."""
    frames_of = {titled(model.title): [run.curves for run in model.runs] for model in models}
    limits = {}
    for measure in ("accuracy", "loss"):
        values = [
            frame[[measure, f"val_{measure}"]].to_numpy()
            for frames_ in frames_of.values()
            for frame in frames_
        ]
        limits[measure] = (min(map(np.min, values)), max(map(np.max, values)))
    return {
        title: [
            charts.learning_curves(runs_, measure, ends, f"{measure} by epoch: {title}")
            for measure, ends in limits.items()
        ]
        for title, runs_ in frames_of.items()
    }


def verdicts_of(
    models: list[Model], between: pd.DataFrame, loss_tests: pd.DataFrame
) -> dict[str, dict[str, Any]]:
    """What is known of the ranking of each recipe's networks, by the recipe."""
    return {
        recipe: {
            "accuracy": finding,
            "loss": frames.loss_verdict(members, loss_tests),
            "together": runs.together([model.together for model in members]),
        }
        for recipe, members in runs.by_recipe(models).items()
        if (finding := ranking.finding(models, between, recipe))
    }


def facts(
    settings: Params, models: list[Model], compared: dict[str, pd.DataFrame]
) -> dict[str, Any]:
    """All that the page is filled with, by the name that the template has for it.

    Raises:
        InputError: a file is not there that a stage writes.
    """
    with_study = study.is_its_data_set(settings.data)
    # The study's own settings, all images and ImageNet's weights: the subject of the prose.
    whole = settings.data.source == "fashion_mnist" and not any(model.random for model in models)
    groups = runs.by_recipe(models)
    between, loss_tests = compared["between_networks"], frames.loss_tests(models)
    between["verdict"] = between["verdict"].fillna("")
    clean, tune = read_json("metrics/clean.json"), read_json("metrics/tune.json")
    hyperparameters = read_yaml("metrics/hyperparameters.yaml")
    footnote, trials = study.footnote(settings), read_table(TRIALS)
    networks = list(dict.fromkeys(NETWORKS[model.network].title for model in models))
    subject = "Fashion-MNIST" if with_study else f"{len(models[0].classes)} classes"
    ablation = read_table(ABLATION) if whole and ABLATION.exists() else None
    if ablation is not None:
        ablation = frames.read_intervals(ablation)
    titles = dict(compared["classifiers"][["classifier", "title"]].itertuples(index=False))
    tiles = errors.tiles(read_table(MISCLASSIFIED / "images.csv"), MISCLASSIFIED / "images.png")
    full_run = read_yaml(FULL_RUN) if FULL_RUN.exists() else None
    recipes = [f"recipe {recipe}" for recipe in dict.fromkeys(model.recipe for model in models)]
    first_titles = {"answer": "Network", "study": "Study"}
    first_titles |= {name: titled(f"Ours, {name}") for name in recipes}
    return {
        "sections": {k: v for k, v in SECTIONS.items() if k != "ablation" or ablation is not None},
        "heading": f"{tables.listed(networks)} on {subject}",
        "networks": networks,
        "names": models[0].classes,
        "groups": groups,
        "settings": settings,
        "with_study": with_study,
        "repeats_study": whole
        and set(study.RESULTS) <= {m.network for m in groups.get("study", [])},
        "verdicts": verdicts_of(models, between, loss_tests),
        "first": {
            measure: frames.first_screen(models, measure, with_study, bool(footnote))
            for measure in ("accuracy", "loss")
        },
        "first_titles": first_titles,
        "first_formats": dict.fromkeys(("study", *recipes), str),
        "footnote": footnote,
        "notes": study.notes(settings),
        "results": compared["results"],
        "welch": compared.get("against_study"),
        "overfitting": compared["overfitting"],
        "between": frames.named(between),
        "loss_tests": frames.named(loss_tests),
        "ablation": ablation,
        "titles": titles,
        "confusion": compared["confusion"],
        "per_class": compared["per_class"],
        "tiles": tiles,
        "linked": {name: f"wrong-{place}" for place, name in enumerate(tiles)},
        "sheet": data_uri(MISCLASSIFIED / "images.png"),
        "curves": curves_of(models),
        "classifiers": frames.with_temperatures(compared["classifiers"], models),
        "reliability": compared["reliability"].assign(
            title=compared["reliability"]["classifier"].map(titles)
        ),
        "used": frames.used_settings(models, settings),
        "used_titles": {"setting": "Setting", **{m.name: titled(m.title) for m in models}},
        "params": yaml.safe_dump(
            settings.model_dump(exclude_none=True), sort_keys=False, default_flow_style=None
        ),
        "tune": tune,
        "trials": trials,
        "trials_chart": charts.trials(trials, tune.get("trial", -1), "Trials of the search"),
        "hyperparameters": hyperparameters,
        "tuned": frames.beside_the_study(
            hyperparameters, study.HYPERPARAMETERS if with_study else {}
        ),
        "clean": clean,
        "cleaning": frames.beside_the_study(
            {name: clean[key] for key, name in CLEANED.items()},
            {name: study.CLEANING[key] for key, name in CLEANED.items()} if with_study else {},
        ),
        "classes": frames.classes(models[0], clean, with_study),
        "captions": CAPTIONS,
        "full_run": full_run,
        "times": frames.minutes(full_run["seconds"]) if full_run else None,
        "packages": packages(),
    }


def environment() -> jinja2.Environment:
    """Where the templates lie, and what they may use."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {name: getattr(tables, name) for name in ("percent", "loss", "listed")}
    templates.globals |= {name: getattr(tables, name) for name in (*tables.FORMATS, "table")}
    templates.globals |= {
        "comparison": COMPARISON,
        "figures": FIGURES,
        "picture": picture,
        "confusion_table": errors.confusion_table,
        "class_table": errors.class_table,
        "reliability_chart": charts.reliability,
        "study": study,
    }
    return templates


def main() -> None:
    settings = params.load()
    models, of_compare = runs.load_all(settings), compared()
    templates = environment()
    content = facts(settings, models, of_compare)
    page = templates.get_template("page.html.j2").render(content)
    with atomic_folder(CARDS) as folder:
        card = templates.get_template("card.md.j2")
        cards.write(folder, settings, models, of_compare, card)
    with atomic_file(PAGE) as unfinished:
        unfinished.write_text(page, encoding="utf-8", newline="\n")
    print(f"report: {PAGE}, {PAGE.stat().st_size / 1e6:.2f} MB, {len(models)} cards in {CARDS}")


if __name__ == "__main__":
    run(main)
