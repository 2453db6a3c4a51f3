"""All models of a run, and the classifiers that are made of them."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from stages.params import Params
from stages.results import evaluation
from stages.results.evaluation import Predictions, Run

TITLES = {"lenet": "LeNet-5", "resnet": "ResNet50, frozen", "vgg": "VGG16, frozen"}


@dataclass(frozen=True)
class Model:
    """A network trained by one recipe.

    network: a key of `TITLES`.
    recipe: a key of the params section of that name.
    title: what to call it; without the recipe where there is only one.
    runs: LeNet-5 has one a fold, the others just one.
    random: its backbone's weights are random.
    """

    network: str
    recipe: str
    title: str
    runs: list[Run]
    random: bool = False

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
    random: it rests on a backbone with random weights.
    """

    name: str
    title: str
    test: Predictions
    random: bool = False


def load_all(settings: Params, random: Collection[str] = ()) -> list[Model]:
    """Every model of a run, from what the evaluations wrote.

    Args:
        random: the networks whose backbone has random weights; their titles say so.

    Raises:
        InputError: an evaluation is not there.
    """
    models = []
    for network, title in TITLES.items():
        if network in random:
            title = title.replace("frozen", "random weights")
        for recipe in getattr(settings, network):
            names = [f"{network}/{recipe}"]
            if network == "lenet":
                names = [f"{network}/{recipe}-{fold}" for fold in settings.cv.folds]
            several = len(getattr(settings, network)) > 1
            runs = [evaluation.load(name) for name in names]
            named = f"{title} ({recipe})" if several else title
            models.append(Model(network, recipe, named, runs, network in random))
    return models


def together(predictions: list[Predictions], weights: np.ndarray | None = None) -> Predictions:
    """The mean of the probabilities of several classifiers for the same images."""
    probabilities = [each.probabilities.astype(np.float64) for each in predictions]
    return Predictions(np.average(probabilities, axis=0, weights=weights), predictions[0].labels)


def validated(model: Model) -> pd.DataFrame:
    """The probabilities of `model` for its validation images, by their row in the training set.

    Every fold has its own, so LeNet-5's cover the training set, each image by the one fold that was
    not trained on it.
    """
    parts = [pd.DataFrame(one.validation.probabilities, one.validation_rows) for one in model.runs]
    return pd.concat(parts).astype(float)


def ensemble_weights(models: list[Model]) -> np.ndarray:
    """The share of each model in the mean with the lowest loss on validation images, (n,).

    On those that no model was trained on. The test set has no say in it. LeNet-5 is weighed there
    by the one fold that was not trained on the image, and answers with the mean of all: its share
    is rather too small.
    """
    tables = [validated(model) for model in models]
    rows = sorted(set.intersection(*(set(table.index) for table in tables)))
    labels = pd.concat(
        pd.Series(one.validation.labels, one.validation_rows) for one in models[0].runs
    )
    probabilities = np.stack([table.loc[rows] for table in tables])

    def loss(weights: np.ndarray) -> float:
        mean = np.tensordot(weights, probabilities, axes=1)
        return Predictions(mean, labels.loc[rows].to_numpy()).loss

    found = minimize(
        loss,
        np.full(len(models), 1 / len(models)),
        bounds=[(0, 1)] * len(models),
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
    )
    # Two digits, so that the last bits of a search do not move a prediction.
    return found.x.round(2) / found.x.round(2).sum()


def classifiers(models: list[Model]) -> list[Classifier]:
    """LeNet-5's best fold and its folds together, each head, and all three networks of a recipe."""
    found = []
    of_recipe: dict[str, list[tuple[Model, Predictions]]] = {}
    for model in models:
        title = f"{model.title}, fold {model.best + 1}" if model.in_folds else model.title
        test = model.runs[model.best].test
        found.append(Classifier(model.name, title, test, model.random))
        if model.in_folds:
            test = together([run.test for run in model.runs])
            found.append(Classifier(f"{model.name}-folds", f"{model.title}, folds together", test))
        of_recipe.setdefault(model.recipe, []).append((model, test))
    for recipe, members in of_recipe.items():
        if len(members) < len(TITLES):
            continue
        random = any(model.random for model, _ in members)
        title = "All three networks" + (", random weights" if random else "")
        title += f" ({recipe})" if len(of_recipe) > 1 else ""
        tests = [test for _, test in members]
        weights = ensemble_weights([model for model, _ in members])
        shares = ", ".join(f"{weight:.2f}" for weight in weights)
        found += [
            Classifier(f"all-{recipe}", title, together(tests), random),
            Classifier(
                f"all-{recipe}-weighted",
                f"{title}, weighted {shares}",
                together(tests, weights),
                random,
            ),
        ]
    return found
