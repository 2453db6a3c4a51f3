"""Model cards: what each model is, how good it is, and where it lies."""

from pathlib import Path

import jinja2
import pandas as pd

from stages.catalog import BACKBONES, NETWORKS
from stages.params import Params
from stages.results import study
from stages.results.runs import Model

DATA = {"fashion_mnist": "Fashion-MNIST", "sample": "a sample of Fashion-MNIST"}
TESTED = study.TEST, study.MEAN, study.SPREAD, study.TOGETHER


def write(
    folder: Path,
    settings: Params,
    models: list[Model],
    compared: dict[str, pd.DataFrame],
    template: jinja2.Template,
) -> None:
    """Write `NETWORK-RECIPE.md` into `folder` for every model.

    Args:
        compared: results, per_class and classifiers, as `compare` wrote them.
    """
    results, per_class = compared["results"], compared["per_class"]
    results = results[results["measure"].isin(TESTED)]
    calibration_errors = compared["classifiers"].set_index("classifier")["calibration_error"]
    for model in models:
        classifier = f"{model.name}-folds" if len(model.runs) > 1 else model.name
        classes = per_class[per_class["classifier"] == classifier]
        backbone = NETWORKS[model.network].backbone
        rows = results[(results["network"] == model.network) & (results["recipe"] == model.recipe)]
        card = template.render(
            model=model,
            folds=len(model.runs),
            licence=BACKBONES[backbone].licence if backbone and not model.random else "mit",
            frozen=NETWORKS[model.network].frozen,
            fashion=study.is_its_data_set(settings.data),
            data=DATA.get(settings.data.source),
            exported=(model.network, model.recipe) == ("lenet", settings.export.recipe),
            results=rows.to_dict("records"),
            weakest=classes.loc[classes["recall"].idxmin()],
            calibration_error=calibration_errors[classifier],
            footnote=study.footnote(settings) if model.name == "resnet-study" else "",
            notes=[note for note in study.notes(settings) if note != study.CAVEAT],
        )
        (folder / f"{model.name}.md").write_text(card, encoding="utf-8", newline="\n")
