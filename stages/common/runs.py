"""All models of a run, and the classifiers that are made of them."""

from dataclasses import dataclass

import numpy as np

from stages.common import evaluation
from stages.common.evaluation import Predictions, Run
from stages.params import Params

TITLES = {"lenet": "LeNet-5", "resnet": "ResNet50, frozen", "vgg": "VGG16, frozen"}


@dataclass(frozen=True)
class Model:
    """A network trained by one recipe.

    network: a key of `TITLES`.
    recipe: a key of the params section of that name.
    title: what to call it; without the recipe where there is only one.
    runs: LeNet-5 has one a fold, the others just one.
    """

    network: str
    recipe: str
    title: str
    runs: list[Run]

    @property
    def name(self) -> str:
        return f"{self.network}-{self.recipe}"

    @property
    def in_folds(self) -> bool:
        return self.network == "lenet"

    @property
    def best(self) -> int:
        """The position of the run that does best on its own validation images."""
        return int(np.argmax([run.validation.accuracy for run in self.runs]))

    def mean(self, metric: str) -> float:
        return float(np.mean([run.metrics[metric] for run in self.runs]))


@dataclass(frozen=True)
class Classifier:
    """What answers with one class an image: a run, or several together.

    name: for files; unique.
    title: for people.
    test: probabilities of the test images.
    """

    name: str
    title: str
    test: Predictions


def load_all(settings: Params) -> list[Model]:
    """Every model of a run, from what the evaluations wrote.

    Raises:
        InputError: an evaluation is not there.
    """
    models = []
    for network, title in TITLES.items():
        for recipe in getattr(settings, network):
            names = [f"{network}/{recipe}"]
            if network == "lenet":
                names = [f"{network}/{recipe}-{fold}" for fold in settings.cv.folds]
            several = len(getattr(settings, network)) > 1
            runs = [evaluation.load(name) for name in names]
            models.append(Model(network, recipe, f"{title} ({recipe})" if several else title, runs))
    return models


def together(predictions: list[Predictions]) -> Predictions:
    """The mean of the probabilities of several classifiers for the same images."""
    mean = np.mean([each.probabilities.astype(np.float64) for each in predictions], axis=0)
    return Predictions(mean, predictions[0].labels)


def classifiers(models: list[Model]) -> list[Classifier]:
    """LeNet-5's best fold and its folds together, each head, and all three networks of a recipe."""
    found = []
    of_recipe: dict[str, list[Predictions]] = {}
    for model in models:
        title = f"{model.title}, fold {model.best + 1}" if model.in_folds else model.title
        test = model.runs[model.best].test
        found.append(Classifier(model.name, title, test))
        if model.in_folds:
            test = together([run.test for run in model.runs])
            found.append(Classifier(f"{model.name}-folds", f"{model.title}, folds together", test))
        of_recipe.setdefault(model.recipe, []).append(test)
    complete = {name: tests for name, tests in of_recipe.items() if len(tests) == len(TITLES)}
    for recipe, tests in complete.items():
        title = "All three networks together"
        title = f"{title} ({recipe})" if len(of_recipe) > 1 else title
        found.append(Classifier(f"all-{recipe}", title, together(tests)))
    return found
