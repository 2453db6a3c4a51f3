"""Model cards: what each model is, how good it is, and where it lies."""

from pathlib import Path

import jinja2
import pandas as pd
import yaml

from stages.catalog import BACKBONES, NETWORKS
from stages.params import Params
from stages.report.tables import titled
from stages.results import study
from stages.results.runs import Model

DATA = {"fashion_mnist": "Fashion-MNIST", "sample": "a sample of Fashion-MNIST"}
TESTED = study.TEST, study.MEAN, study.SPREAD, study.TOGETHER


def file_of(model: Model) -> str:
    if NETWORKS[model.network].frozen:
        return f"models/{model.network}/{model.recipe}/model.keras"
    return f"models/{model.network}/{model.recipe}-FOLD/model.keras"


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
    content = {
        "license": BACKBONES[backbone].licence if backbone and not model.random else "mit",
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        **({"datasets": ["fashion_mnist"]} if fashion else {}),
        "metrics": ["accuracy"],
        "model-index": [{"name": model.name, "results": [result]}],
    }
    return yaml.safe_dump(content, sort_keys=False)


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
    data, fashion = DATA.get(settings.data.source), study.is_its_data_set(settings.data)
    results, per_class = compared["results"], compared["per_class"]
    classifiers = compared["classifiers"].set_index("classifier")
    for model in models:
        name = f"{model.name}-folds" if len(model.runs) > 1 else model.name
        rows = results[(results["network"] == model.network) & (results["recipe"] == model.recipe)]
        rows = rows[rows["measure"].isin(TESTED)]
        scores = rows[rows["measure"] != study.SPREAD]
        classes = per_class[per_class["classifier"] == name]
        card = template.render(
            front_matter=front_matter(model, data or "own images", fashion, scores),
            title=titled(model.title),
            model=model,
            frozen=NETWORKS[model.network].frozen,
            data=data or "images of one's own",
            file=file_of(model),
            exported=(model.network, model.recipe) == ("lenet", settings.export.recipe),
            results=rows.to_dict("records"),
            notes=[note for note in study.notes(settings) if note != study.CAVEAT],
            footnote=study.footnote(settings) if model.name == "resnet-study" else "",
            weakest=classes.loc[classes["recall"].idxmin()],
            calibration_error=classifiers["calibration_error"][name],
        )
        (folder / f"{model.name}.md").write_text(card, encoding="utf-8", newline="\n")
