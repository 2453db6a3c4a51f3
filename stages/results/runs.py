"""All models of a run, and the classifiers that are made of them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from stages import params
from stages.catalog import NETWORKS
from stages.cli import InputError
from stages.params import Params
from stages.results import evaluation
from stages.results.evaluation import METRICS, Predictions, Run

WORDS = {3: "three", 4: "four", 5: "five", 6: "six"}


@dataclass(frozen=True)
class Model:
    """A network trained by one recipe, once or once a fold.

    network: a key of `NETWORKS`.
    recipe: a key of the params section of that name.
    title: what to call it; without the recipe where there is only one.
    runs: one a training.
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
    def classes(self) -> list[str]:
        """The names of its classes, that of label 0 first."""
        return self.runs[0].training["classes"]

    @property
    def best(self) -> int:
        """The position of the run that does best on its own validation images."""
        return int(np.argmax([run.validation.accuracy for run in self.runs]))

    @property
    def together(self) -> Predictions:
        """The mean of its trainings' probabilities for the test images."""
        return together([run.test for run in self.runs])

    @property
    def scores(self) -> pd.DataFrame:
        """The evaluations' metrics, a row a training."""
        return pd.DataFrame([run.metrics for run in self.runs])

    def mean(self, metric: str) -> float:
        return float(self.scores[metric].mean())

    def standard_deviation(self, metric: str) -> float:
        """Over the trainings; not a number where there is one."""
        return float(self.scores[metric].std())


@dataclass(frozen=True)
class Classifier:
    """What answers with one class an image: a training, or several together.

    name: for files; unique.
    title: for people.
    test: probabilities of the test images.
    random: it rests on a backbone with random weights.
    """

    name: str
    title: str
    test: Predictions
    random: bool = False


def random_backbones(settings: Params) -> list[str]:
    return [name for name, backbone in settings.backbone.items() if backbone.weights == "random"]


def load_all(settings: Params) -> list[Model]:
    """Every model of a run, from what the evaluations wrote.

    Raises:
        InputError: an evaluation is not there, or one is that the params do not name.
    """
    trainings = {
        (network, recipe): params.trainings(settings, network, recipe)
        for network in NETWORKS
        for recipe in getattr(settings, network)
    }
    _check_nothing_else(
        {
            f"{network}/{recipe}/{fold}"
            for (network, recipe), folds in trainings.items()
            for fold in folds
        }
    )
    models = []
    for (network, recipe), folds in trainings.items():
        title = NETWORKS[network].title
        random = NETWORKS[network].backbone in random_backbones(settings)
        if NETWORKS[network].frozen:
            title += ", random weights" if random else ", frozen"
        if len(getattr(settings, network)) > 1:
            title += f" ({recipe})"
        runs = [evaluation.load(network, recipe, fold) for fold in folds]
        models.append(Model(network, recipe, title, runs, random))
    return models


def _check_nothing_else(wanted: set[str]) -> None:
    """DVC takes all that lies in `metrics/` for an input, so what is left over must go."""
    present = {path.parent.relative_to(METRICS) for path in METRICS.rglob("metrics.json")}
    if left_over := sorted({str(path) for path in present} - wanted):
        raise InputError(
            f"metrics/ has {', '.join(left_over)}, which params.yaml does not name; remove what an "
            "undone experiment left with `git clean -fd metrics models plots`, and a removed "
            "recipe or fold with `git rm -r`"
        )


def together(predictions: list[Predictions], weights: np.ndarray | None = None) -> Predictions:
    """The mean of the probabilities of several classifiers for the same images."""
    probabilities = [each.probabilities.astype(np.float64) for each in predictions]
    return Predictions(np.average(probabilities, axis=0, weights=weights), predictions[0].labels)


def validated(models: list[Model]) -> list[Predictions]:
    """What each model gives for the images that none of its trainings, or of the others', saw.

    Each fold has validation images of its own: together they are the whole training set, each image
    with the answer of the one training that did not see it. A model with one split has these alone.
    """
    tables, labels = [], {}
    for model in models:
        parts = [pd.DataFrame(r.validation.probabilities, r.validation_rows) for r in model.runs]
        tables.append(pd.concat(parts).astype(float))
        for run in model.runs:
            labels.update(zip(run.validation_rows, run.validation.labels, strict=True))
    rows = sorted(set.intersection(*(set(table.index) for table in tables)))
    true = np.array([labels[row] for row in rows], np.uint8)
    return [Predictions(table.loc[rows].to_numpy(), true) for table in tables]


def ensemble_weights(models: list[Model]) -> np.ndarray:
    """The share of each model in the mean with the lowest loss on validation images, (n,).

    On those that no training saw: with folds in every model on the whole training set. The test set
    has no say in it.
    """
    members = validated(models)
    minimum = minimize(
        lambda weights: together(members, weights).loss,
        np.full(len(models), 1 / len(models)),
        bounds=[(0, 1)] * len(models),
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
    )
    # Two digits, so that the last bits of a search do not move a prediction.
    return minimum.x.round(2) / minimum.x.round(2).sum()


def by_recipe(models: list[Model]) -> dict[str, list[Model]]:
    """The models of each recipe that two networks or more have."""
    groups: dict[str, list[Model]] = {}
    for model in models:
        groups.setdefault(model.recipe, []).append(model)
    return {recipe: members for recipe, members in groups.items() if len(members) > 1}


def classifiers(models: list[Model]) -> list[Classifier]:
    """Of each model its best training, and all of them together; then all networks of a recipe.

    The mean of all networks with equal weights is the headline, whichever of the two has the better
    test accuracy.
    """
    answers = []
    for model in models:
        several = len(model.runs) > 1
        title = f"{model.title}, fold {model.best + 1}" if several else model.title
        answers.append(Classifier(model.name, title, model.runs[model.best].test, model.random))
        if several:
            title = f"{model.title}, {len(model.runs)} folds together"
            answers.append(Classifier(f"{model.name}-folds", title, model.together, model.random))
    several_recipes = len({model.recipe for model in models}) > 1
    for recipe, members in by_recipe(models).items():
        random = any(model.random for model in members)
        count = len(members)
        title = "Both networks" if count == 2 else f"All {WORDS.get(count, count)} networks"
        title += f", {sum(len(model.runs) for model in members)} trainings"
        title += (", random weights" if random else "") + (
            f" ({recipe})" if several_recipes else ""
        )
        tests = [model.together for model in members]
        weights = ensemble_weights(members)
        shares = ", ".join(f"{weight:.2f}" for weight in weights)
        name, weighted = f"all-{recipe}", f"{title}, weighted {shares}"
        answers.append(Classifier(name, title, together(tests), random))
        answers.append(Classifier(f"{name}-weighted", weighted, together(tests, weights), random))
    return answers
