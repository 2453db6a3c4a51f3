"""Model cards: what each model is, how good it is, and where it lies."""

from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml

from stages.catalog import BACKBONES, NETWORKS
from stages.params import Params
from stages.report.tables import titled
from stages.results import study
from stages.results.runs import Model

DATA = {"fashion_mnist": "Fashion-MNIST", "sample": "a sample of Fashion-MNIST"}
# What all cards share.
SHARED = "../../docs/data.md#use-a-trained-model"
TESTED = (study.TEST, study.MEAN, study.SPREAD, study.TOGETHER)


def is_exported(model: Model, settings: Params) -> bool:
    return (model.network, model.recipe) == ("lenet", settings.export.recipe)


def files_of(model: Model, settings: Params) -> str:
    """Where the model lies: in DVC's cache, but for the LeNet-5 that is exported to Git."""
    if is_exported(model, settings):
        return "`models/exported/FOLD.keras`, in Git"
    if NETWORKS[model.network].frozen:
        return f"`models/{model.network}/{model.recipe}/model.keras`, in DVC's cache"
    return f"`models/{model.network}/{model.recipe}-FOLD/model.keras`, in DVC's cache"


def front_matter(model: Model, data: str, fashion: bool, rows: pd.DataFrame) -> str:
    """As Hugging Face reads it (https://huggingface.co/docs/hub/model-cards).

    Args:
        rows: columns measure, accuracy; on the test set.
    """
    backbone = NETWORKS[model.network].backbone
    accuracies = [
        {"type": "accuracy", "name": f"Accuracy, {row.measure}", "value": round(row.accuracy, 5)}
        for row in rows.itertuples()
    ]
    result = {
        "task": {"type": "image-classification"},
        "dataset": {"name": data, "type": "fashion_mnist" if fashion else "own", "split": "test"},
        "metrics": accuracies,
    }
    content: dict[str, Any] = {
        "license": BACKBONES[backbone].licence if backbone and not model.random else "mit",
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "metrics": ["accuracy"],
        "model-index": [{"name": model.name, "results": [result]}],
    }
    if fashion:
        content["datasets"] = ["fashion_mnist"]
    return yaml.safe_dump(content, sort_keys=False)


def write(
    folder: Path,
    settings: Params,
    models: list[Model],
    tables: dict[str, pd.DataFrame],
    template: jinja2.Template,
) -> None:
    """Write `NETWORK-RECIPE.md` into `folder` for every model.

    Args:
        tables: results, per_class and classifiers, as `compare` wrote them.
    """
    data = DATA.get(settings.data.source, "images of one's own")
    per_class = tables["per_class"]
    calibration_errors = tables["classifiers"].set_index("classifier")["calibration_error"]
    results = tables["results"][tables["results"]["measure"].isin(TESTED)]
    for model in models:
        name = f"{model.name}-folds" if len(model.runs) > 1 else model.name
        rows = results[(results["network"] == model.network) & (results["recipe"] == model.recipe)]
        classes = per_class[per_class["classifier"] == name]
        trained = (
            f"{'A head' if NETWORKS[model.network].frozen else 'A network'} with "
            f"{model.runs[0].training['parameters']:,} trained parameters"
        )
        if len(model.runs) > 1:
            trained += f", in {len(model.runs)} folds,"
        is_footnoted = (model.network, model.recipe) == ("resnet", "study")
        card = template.render(
            front_matter=front_matter(
                model,
                data,
                study.is_its_data_set(settings.data),
                rows[rows["measure"] != study.SPREAD],
            ),
            title=titled(model.title),
            model=model,
            trained=trained,
            data=data,
            files=files_of(model, settings),
            exported=is_exported(model, settings),
            shared=SHARED,
            results=rows.to_dict("records"),
            footnote=study.footnote(settings) if is_footnoted else "",
            notes=study.notes(settings) if settings.data.source != "fashion_mnist" else [],
            weakest=classes.loc[classes["recall"].idxmin()],
            calibration_error=calibration_errors[name],
        )
        (folder / f"{model.name}.md").write_text(card, encoding="utf-8", newline="\n")
