"""Model cards: what each model is, how it was trained, what it can do and what it is not for."""

from pathlib import Path

from stages.common import report
from stages.common.classes import class_names
from stages.common.files import read_json
from stages.common.report import Findings
from stages.common.runs import TITLES, Trained, best_fold, best_lenet
from stages.params import Params

TEMPLATE = "card.md.j2"
DATA = {
    "digits": "scikit-learn's digits",
    "fashion_mnist": "Fashion-MNIST",
    "csv": "the CSV pair that the params name",
}


def model_path(trained: Trained, model: str, recipe: str) -> str:
    """Where the model lies of which the card speaks: one fold's of LeNet-5, or the head's."""
    if model != "lenet":
        return f"models/{model}/{recipe}.keras"
    if recipe == best_lenet(trained)[0]:
        return "models/lenet/best.keras"
    return f"models/lenet/folds/{recipe}-{best_fold(trained[model, recipe]) + 1}.keras"


def write(folder: Path, settings: Params, trained: Trained, findings: Findings) -> None:
    """Write `MODEL-RECIPE.md` into `folder` for every model and recipe.

    Raises:
        InputError: a file of `clean` or `tune` is not there.
    """
    template = report.environment().get_template(TEMPLATE)
    names = class_names(settings.data)
    table = report.models_table(settings, read_json(report.need(report.TUNING, "tune")))
    facts = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    results, per_class = findings.results, findings.per_class
    for ((model, recipe), trainings), fact in zip(trained.items(), facts, strict=True):
        name = f"{model}-{recipe}"
        of_model = (results["model"] == TITLES[model]) & (results["recipe"] == recipe)
        classes = per_class[per_class["classifier"] == name]
        confusion = report.confusion(name, findings.predicted[name], findings.labels, names)
        card = template.render(
            title=findings.titles[name],
            path=model_path(trained, model, recipe),
            folds=len(trainings),
            rows=read_json(report.need(report.CLEANING, "clean"))["rows"],
            data=DATA[settings.data.source],
            facts=fact,
            notes=findings.notes,
            results=results[of_model].to_dict("records"),
            per_class=classes.to_dict("records"),
            weakest=classes.loc[classes["recall"].idxmin()],
            most_frequent=confusion.most_frequent,
        )
        (folder / f"{name}.md").write_text(card, encoding="utf-8", newline="\n")
