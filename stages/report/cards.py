"""Model cards: what each model is for, how it was trained, and what it can do."""

from pathlib import Path

import jinja2
import yaml

from stages.base.classes import class_names
from stages.params import Params
from stages.report import story, tables
from stages.report.formats import called
from stages.report.inputs import compared
from stages.results import study
from stages.results.runs import Model

DATA = {
    "fashion_mnist": "Fashion-MNIST",
    "sample": "a sample of Fashion-MNIST",
    "csv": "the CSV pair that the params name",
    "idx": "the IDX files that the params name",
}
# Keras's VGG16 has Oxford's weights, which stand under this licence.
LICENSES = {"vgg": "cc-by-4.0"}
SAMPLE = 'np.load("data/sample/fashion_mnist.npz")["test_images"][:5]'
OWN = 'np.load("data/clean/test_images.npy")[:5]'


def files_of(model: Model, settings: Params) -> list[str]:
    """Where the model lies: LeNet-5's folds in Git for the recipe that is exported."""
    if not model.in_folds:
        return [f"models/{model.network}/{model.recipe}/model.keras"]
    if model.recipe == settings.export.recipe:
        return [f"models/exported/{fold}.keras" for fold in settings.cv.folds]
    return [f"models/lenet/{model.recipe}-{fold}/model.keras" for fold in settings.cv.folds]


def front_matter(model: Model, settings: Params, test: list[tuple[str, float]]) -> str:
    """As Hugging Face reads it (https://huggingface.co/docs/hub/model-cards).

    Args:
        test: name and value of each test accuracy.
    """
    fashion = study.is_its_data_set(settings.data)
    metrics = [
        {"type": "accuracy", "name": f"Accuracy, {name}", "value": round(value, 5)}
        for name, value in test
    ]
    dataset = {
        "name": DATA[settings.data.source],
        "type": "fashion_mnist" if fashion else "own",
        "split": "test",
    }
    content = {
        "license": "mit" if model.random else LICENSES.get(model.network, "mit"),
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        **({"datasets": ["fashion_mnist"]} if fashion else {}),
        "metrics": ["accuracy"],
        "model-index": [
            {
                "name": model.name,
                "results": [
                    {
                        "task": {"type": "image-classification"},
                        "dataset": dataset,
                        "metrics": metrics,
                    }
                ],
            }
        ],
    }
    return yaml.safe_dump(content, sort_keys=False)


def write(folder: Path, settings: Params, models: list[Model], template: jinja2.Template) -> None:
    """Write `MODEL-RECIPE.md` into `folder` for every model.

    Raises:
        InputError: a file of `compare` is not there.
    """
    results, per_class = compared("results"), compared("per_class")
    of_classifiers = compared("classifiers").set_index("classifier")
    names = class_names(settings.data)
    fashion = study.is_its_data_set(settings.data)
    welch = compared("against_study") if fashion else None
    confusion = compared("confusion")
    for model in models:
        rows = results[(results["network"] == model.network) & (results["recipe"] == model.recipe)]
        tested = rows[rows["measure"].isin([story.MEAN, "folds together, test", "test"])]
        classifier = f"{model.name}-folds" if model.in_folds else model.name
        classes = per_class[per_class["classifier"] == classifier]
        weakest = classes.loc[classes["recall"].idxmin()]
        wrong = confusion[
            (confusion["classifier"] == classifier)
            & (confusion["actual"] == weakest["class"])
            & (confusion["predicted"] != weakest["class"])
        ]
        card = template.render(
            front_matter=front_matter(
                model, settings, list(zip(tested["measure"], tested["accuracy"], strict=True))
            ),
            title=called(model.title),
            model=model,
            files=files_of(model, settings),
            exported=model.in_folds and model.recipe == settings.export.recipe,
            images=SAMPLE if fashion else OWN,
            names=list(names),
            data=DATA[settings.data.source],
            notes=study.notes(settings),
            random=model.random,
            network_input=tables.network_input(model, settings),
            trained_part=tables.trained_part(model),
            recorded=model.runs[0].training,
            extras=story.extras(model),
            results=tables.results(rows, welch),
            per_class=classes.to_dict("records"),
            weakest=weakest,
            taken_for=wrong.loc[wrong["images"].idxmax()],
            calibration=of_classifiers.loc[classifier],
            temperatures=[run.metrics["temperature"] for run in model.runs],
        )
        (folder / f"{model.name}.md").write_text(card, encoding="utf-8", newline="\n")
