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


def called(recipe: str) -> str:
    """A recipe, for people. "The study" is the paper, never our recipe."""
    return "study's settings" if recipe == "study" else f"recipe {recipe}"


@dataclass(frozen=True)
class Model:
    """A network trained by one recipe, once or once a fold.

    network: a key of `NETWORKS`.
    recipe: a key of the params section of that name.
    runs: one a training.
    random: its backbone's weights are random.
    """

    network: str
    recipe: str
    runs: list[Run]
    random: bool = False

    @property
    def name(self) -> str:
        return f"{self.network}-{self.recipe}"

    @property
    def kind(self) -> str:
        network = NETWORKS[self.network]
        how = ", random weights" if self.random else ", frozen" if network.frozen else ""
        return f"{network.title}{how}"

    @property
    def title(self) -> str:
        return f"{self.kind} ({called(self.recipe)})"

    @property
    def classes(self) -> list[str]:
        """The names of its classes, that of label 0 first."""
        return self.runs[0].training["classes"]

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


@dataclass(frozen=True)
class Classifier:
    """What answers with one class an image: a training alone, or several together.

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
        InputError: an evaluation is not there, or one is that the params do not name.
    """
    models, wanted = [], set()
    for network, about in NETWORKS.items():
        random = about.frozen and settings.backbone[about.backbone].weights == "random"
        for recipe in getattr(settings, network):
            folds = params.trainings(settings, network, recipe)
            runs = [evaluation.load(network, recipe, fold) for fold in folds]
            models.append(Model(network, recipe, runs, random))
            wanted |= {f"{network}/{recipe}/{fold}" for fold in folds}
    # DVC takes all that lies in `metrics/` for an input, so what is left over must go.
    present = {str(path.parent.relative_to(METRICS)) for path in METRICS.rglob("metrics.json")}
    if left_over := sorted(present - wanted):
        raise InputError(
            f"metrics/ has {', '.join(left_over)}, which params.yaml does not name; remove what an "
            "undone experiment left with `git clean -fd metrics models plots`, and a removed "
            "recipe or fold with `rm -r`"
        )
    return models


def together(predictions: list[Predictions], weights: np.ndarray | None = None) -> Predictions:
    """The mean of the probabilities of several classifiers for the same images."""
    probabilities = [each.probabilities.astype(np.float64) for each in predictions]
    return Predictions(np.average(probabilities, axis=0, weights=weights), predictions[0].labels)


def validated(models: list[Model]) -> list[Predictions]:
    """What each model gives for the images that none of its trainings, or of the others', saw.

    Each fold has validation images of its own: together they are the whole training set, each image
    with the answer of the one training that did not see it. A model with one split has these alone.
    """
    tables = []
    for model in models:
        parts = [
            pd.DataFrame(run.validation.probabilities, [run.validation_rows, run.validation.labels])
            for run in model.runs
        ]
        tables.append(pd.concat(parts).astype(float))
    # By row and label, which are the same for all models.
    shared = pd.concat(tables, axis=1, join="inner", keys=range(len(models))).sort_index()
    labels = shared.index.get_level_values(1).to_numpy()
    return [Predictions(shared[each].to_numpy(), labels) for each in range(len(models))]


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
    """The trainings of each model together; then all networks of a recipe.

    The mean of all networks with equal weights is the headline, whichever of the two has the better
    test accuracy.
    """
    answers = []
    for model in models:
        name, title, folds = model.name, model.title, len(model.runs)
        if folds > 1:
            name, title = f"{name}-folds", f"{title}, {folds} folds together"
        answers.append(Classifier(name, title, model.together))
    for recipe, members in by_recipe(models).items():
        name, trainings = f"all-{recipe}", sum(len(model.runs) for model in members)
        title = f"All networks, {trainings} trainings"
        if any(model.random for model in members):
            title += ", random weights"
        title += f" ({called(recipe)})"
        tests, weights = [model.together for model in members], ensemble_weights(members)
        answers.append(Classifier(name, title, together(tests)))
        title += f", weighted {', '.join(f'{weight:.2f}' for weight in weights)}"
        answers.append(Classifier(f"{name}-weighted", title, together(tests, weights)))
    return answers
