"""Show the run on one page, and write a card for each model.

Reads what lies in Git: `metrics/`, `plots/` but for the page itself, and `requirements.lock`.
Writes `plots/report.html`, which needs no other file and no network, and `models/cards/`. Neither
has a date, an absolute path or anything else that two runs with the same inputs would differ in.
"""

import io
from base64 import b64encode
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml
from PIL import Image

from stages import params
from stages.base.files import atomic_file, atomic_folder, read_json, read_yaml
from stages.base.images import SIDE
from stages.catalog import NETWORKS
from stages.cli import run
from stages.params import Params
from stages.report import cards, charts, errors, frames, tables
from stages.results import ranking, runs, study
from stages.results.runs import Model

PAGE = Path("plots/report.html")
CARDS = Path("models/cards")
COMPARED = Path("plots/compare")
SHEET = Path("plots/misclassified/images.png")
# Of the repository's own runs on all images; a project of one's own may have neither.
FULL_RUN = Path("metrics/full_run.yaml")
ABLATION = Path("metrics/ablation.csv")
PACKAGES = "keras", "tensorflow", "keras-tuner", "scikit-learn", "numpy", "dvc"
# A palette halves a picture. Fewer colours bend a heat map's scale.
PICTURE_COLOURS = 128


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table of the pipeline's. Only an empty cell is missing: a class may be called NA."""
    names = dict.fromkeys(("class", "actual", "predicted"), str)
    return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=names)


def picture(path: str | Path) -> str:
    """A picture with a palette, as a data URI."""
    content = io.BytesIO()
    with Image.open(path) as image:
        colours = image.convert("RGB").quantize(PICTURE_COLOURS, dither=Image.Dither.NONE)
        colours.save(content, "PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(content.getvalue()).decode()}"


def packages() -> list[str]:
    """The packages that matter most, each with its version, as `requirements.lock` pins them."""
    lines = Path("requirements.lock").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.partition("==")[0] in PACKAGES]


def facts(
    settings: Params, models: list[Model], compared: dict[str, pd.DataFrame]
) -> dict[str, Any]:
    """All that the page is filled with, by the name that the template has for it."""
    with_study = study.is_its_data_set(settings.data)
    whole = settings.data.source == "fashion_mnist" and not any(model.random for model in models)
    groups = runs.by_recipe(models)
    between = compared["between_networks"].fillna({"verdict": ""})
    better = between["verdict"].map({**frames.TITLES, "": "no significant difference"})
    with Image.open(SHEET) as sheet:
        sheet_columns = sheet.width // SIDE
    wrong = pd.read_csv(SHEET.with_suffix(".csv"), dtype=str, keep_default_na=False)
    return {
        **compared,
        "settings": settings,
        "models": models,
        "groups": groups,
        "networks": list(dict.fromkeys(NETWORKS[model.network].title for model in models)),
        "classes": models[0].classes,
        "with_study": with_study,
        # The study's own settings, all images and ImageNet's weights: the subject of the prose.
        "repeats_study": whole and len(groups.get("study", [])) >= len(study.RESULTS),
        "notes": study.notes(settings),
        "footnote": study.footnote(settings),
        "findings": {recipe: ranking.finding(models, between, recipe) for recipe in groups},
        "between": frames.with_pairs(between.assign(verdict=better)),
        "between_losses": frames.with_pairs(frames.loss_tests(models)),
        "ablation": read_table(ABLATION) if whole and ABLATION.exists() else None,
        "matrices": errors.confusion_matrices(compared["confusion"]),
        "sheet": errors.sheet_by_class(wrong, models[0].classes),
        "sheet_columns": sheet_columns,
        "hyperparameters": read_yaml("metrics/hyperparameters.yaml"),
        "tune": read_json("metrics/tune.json"),
        "trials": read_table("plots/tune/trials.csv"),
        "figures": sorted(Path("plots/eda").glob("*.png")),
        "params": yaml.safe_dump(settings.model_dump(exclude_none=True), sort_keys=False),
        "clean": read_json("metrics/clean.json"),
        "full_run": read_yaml(FULL_RUN) if FULL_RUN.exists() else None,
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
    for write in (tables.percent, tables.loss, runs.called):
        templates.filters[write.__name__] = write
    modules = {"charts": charts, "errors": errors, "frames": frames, "study": study}
    used = {"texts": tables.texts, "percent": tables.percent, "loss": tables.loss}
    templates.globals |= {**modules, **used, "picture": picture}
    return templates


def main() -> None:
    settings = params.load()
    models = runs.load_all(settings)
    compared = {path.stem: read_table(path) for path in COMPARED.glob("*.csv")}
    templates = environment()
    page = templates.get_template("page.html.j2").render(facts(settings, models, compared))
    with atomic_folder(CARDS) as folder:
        card = templates.get_template("card.md.j2")
        cards.write(folder, settings, models, compared, card)
    with atomic_file(PAGE) as unfinished:
        unfinished.write_text(page, encoding="utf-8", newline="\n")
    print(f"report: {PAGE}, {PAGE.stat().st_size / 1e6:.2f} MB, {len(models)} cards in {CARDS}")


if __name__ == "__main__":
    run(main)
