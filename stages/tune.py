"""Search for LeNet-5's hyperparameters with Keras Tuner.

Reads `data/encoded/train/`. Searches for what the params section `tune` gives a choice of; what it
gives as one value is held fixed.

Writes `metrics/hyperparameters.yaml`, what was searched for and found (units, learning_rate),
`metrics/tune.json`, how well, and `plots/tune/trials.csv`, a row a trial.

A search that was interrupted goes on where it stopped: its trials lie in `.work/tune/` until it is
done, under a digest of everything that could change them.
"""

import json
import math
import shutil
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from stages import params
from stages.base.files import atomic_file, load_array, write_json, write_yaml
from stages.cli import run
from stages.networks import lenet
from stages.training import board, resume
from stages.training.keras_setup import keras, seed_everything, use_deterministic_operations

import keras_tuner  # isort: skip  # imports Keras, which keras_setup must do first

INPUT = Path("data/encoded/train")
HYPERPARAMETERS = "metrics/hyperparameters.yaml"
METRICS = "metrics/tune.json"
TRIALS = "plots/tune/trials.csv"
COLUMNS = [
    *("trial", "bracket", "round", "units", "learning_rate", "first_epoch", "last_epoch"),
    *("best_epoch", "val_accuracy", "val_loss"),
]


class Lenet(keras_tuner.HyperModel):
    """LeNet-5 as Keras Tuner builds and trains it, a trial at a time.

    Args:
        tune: the section of the params.
        seed: of every trial, so that a trial does not depend on which ones ran before it.
    """

    def __init__(self, tune: params.Tune, seed: int):
        super().__init__()
        self.tune, self.seed = tune, seed
        self.bar = None

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        seed_everything(self.seed)
        units, learning_rate = self.tune.units, self.tune.learning_rate
        if self.tune.searches_units:
            units = hp.Int("units", units.min, units.max, step=units.step)
        if self.tune.searches_learning_rate:
            learning_rate = hp.Choice("learning_rate", learning_rate)
        model = lenet.build(units)
        model.compile(
            optimizer=keras.optimizers.Adam(learning_rate),
            loss="categorical_crossentropy",
            metrics=["accuracy"],
        )
        # A trial that Hyperband promotes loads its checkpoint into this model, and Keras skips the
        # optimizer's part of it if the optimizer has no variables yet.
        model.optimizer.build(model.trainable_variables)
        return model

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, *args, **kwargs):
        self.bar.set_postfix(hp_summary(hp.values), refresh=False)
        advance = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: self.bar.update())
        kwargs["callbacks"] = [*kwargs["callbacks"], advance]
        history = model.fit(*args, **kwargs)
        planned = kwargs["epochs"] - kwargs.get("initial_epoch", 0)
        self.bar.total -= planned - len(history.epoch)
        return history


def hp_summary(values: dict[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in ("units", "learning_rate") if name in values}


def fixed(tune: params.Tune) -> dict[str, Any]:
    """The hyperparameters that are not searched for, by name."""
    searched = {"units": tune.searches_units, "learning_rate": tune.searches_learning_rate}
    return {name: getattr(tune, name) for name, is_searched in searched.items() if not is_searched}


def combinations(tune: params.Tune) -> int:
    """How many different trials there can be."""
    units, rates = tune.units, tune.learning_rate
    number = len(set(rates)) if tune.searches_learning_rate else 1
    if tune.searches_units:
        number *= len(range(units.min, units.max + 1, units.step))
    return number


def make_tuner(model: Lenet, tune: params.Tune, folder: Path, seed: int) -> keras_tuner.Tuner:
    """The tuner that `tune.algorithm` names; takes up an unfinished search in `folder`.

    Hyperband stops, without a word and before it promotes any trial, when it runs out of different
    ones to begin with: where there are so few, each is trained to the end (`GridSearch`).
    """
    common = {
        "objective": tune.objective,
        # Keras Tuner takes 0 for "no seed" and draws one.
        "seed": seed + 1,
        "directory": folder.parent,
        "project_name": folder.name,
        "overwrite": False,
        # The first error ends the search: by default Keras Tuner notes it and goes on.
        "max_consecutive_failed_trials": 1,
    }
    if tune.algorithm == "hyperband":
        schedule = {
            "max_epochs": tune.max_epochs,
            "factor": tune.factor,
            "hyperband_iterations": tune.hyperband_iterations,
        }
        needed = sum(bracket[0].trials for bracket in brackets(tune.max_epochs, tune.factor))
        if combinations(tune) >= needed * tune.hyperband_iterations:
            return keras_tuner.Hyperband(model, **schedule, **common)
        print("tune: too few combinations for Hyperband; training each of them to the end")
        return keras_tuner.GridSearch(model, **common)
    kinds = {
        "bayesian": keras_tuner.BayesianOptimization,
        "random": keras_tuner.RandomSearch,
    }
    return kinds[tune.algorithm](model, max_trials=tune.max_trials, **common)


class Round(NamedTuple):
    """A round of a bracket: how many trials, and until which epoch they train."""

    trials: int
    epochs: int


def brackets(max_epochs: int, factor: int) -> list[list[Round]]:
    """Hyperband's schedule, the rounds of each bracket (Li et al. 2018, JMLR 18(185), algorithm 1).

    Rounded as Keras Tuner does.
    """
    most = 0
    while factor ** (most + 1) <= max_epochs:
        most += 1
    at_the_end = math.ceil(1 + math.log(max_epochs, factor))
    return [
        [
            Round(
                trials=math.ceil(at_the_end / (bracket + 1) * factor ** (bracket - number)),
                epochs=math.ceil(max_epochs / factor ** (bracket - number)),
            )
            for number in range(bracket + 1)
        ]
        for bracket in range(most, -1, -1)
    ]


def planned_epochs(tuner: keras_tuner.Tuner, tune: params.Tune) -> int:
    """How many epochs the search takes if no trial stops early."""
    if isinstance(tuner, keras_tuner.Hyperband):
        epochs = 0
        for bracket in brackets(tune.max_epochs, tune.factor):
            before = [Round(0, 0), *bracket]
            epochs += sum(
                later.trials * (later.epochs - earlier.epochs)
                for earlier, later in pairwise(before)
            )
        return tune.hyperband_iterations * epochs
    trials = combinations(tune)
    if not isinstance(tuner, keras_tuner.GridSearch):
        trials = min(trials, tune.max_trials)
    return trials * tune.max_epochs


def trials_table(tuner: keras_tuner.Tuner, tune: params.Tune) -> pd.DataFrame:
    """One row a finished trial, columns `COLUMNS`, in the order in which they ran.

    `last_epoch` is the planned one: early stopping may have ended the trial before it.
    """
    rows = []
    for number, name in enumerate(tuner.oracle.end_order):
        trial = tuner.oracle.get_trial(name)
        values = {**trial.hyperparameters.values, **fixed(tune)}
        # A trial that Hyperband promotes goes on from an earlier one; its steps count from there.
        epochs_before = values.get("tuner/initial_epoch", 0)
        rows.append(
            {
                "trial": number,
                "bracket": values.get("tuner/bracket", 0),
                "round": values.get("tuner/round", 0),
                "units": values["units"],
                "learning_rate": values["learning_rate"],
                "first_epoch": epochs_before + 1,
                "last_epoch": values.get("tuner/epochs", tune.max_epochs),
                "best_epoch": epochs_before + trial.best_step + 1,
                "val_accuracy": trial.metrics.get_last_value("val_accuracy"),
                "val_loss": trial.metrics.get_last_value("val_loss"),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def search(tune: params.Tune, seed: int) -> pd.DataFrame:
    """Run the search, or what is left of it, and return its trials."""
    paths = [INPUT / "images.npy", INPUT / "labels.npy"]
    folder = resume.folder("tune", {"tune": tune.model_dump(), "seed": seed}, paths)
    use_deterministic_operations()
    model = Lenet(tune, seed)
    try:
        tuner = make_tuner(model, tune, folder, seed)
    except json.JSONDecodeError:
        # Keras Tuner writes its files in place: killed in that moment, it leaves half of one.
        print(f"tune: {folder} was left half-written; beginning again", flush=True)
        shutil.rmtree(folder)
        tuner = make_tuner(model, tune, folder, seed)
    done = trials_table(tuner, tune)
    if len(done):
        print(f"tune: going on after {len(done)} finished trials in {folder}", flush=True)

    x, y = (load_array(path) for path in paths)
    with tqdm(
        total=planned_epochs(tuner, tune),
        initial=int((done["last_epoch"] - done["first_epoch"] + 1).sum()),
        unit="epoch",
        ncols=80,
        mininterval=0.5 if sys.stderr.isatty() else 10,
    ) as model.bar:
        tuner.search(
            x,
            y,
            epochs=tune.max_epochs,
            batch_size=tune.batch_size,
            validation_split=tune.validation_split,
            callbacks=[
                keras.callbacks.EarlyStopping("val_loss", patience=tune.patience),
                # Keras Tuner gives each trial a folder of its own in it.
                board.TensorBoard(board.FOLDER / "tune", write_graph=False),
            ],
            verbose=0,
        )
    trials = trials_table(tuner, tune)
    shutil.rmtree(folder)
    return trials


def main() -> None:
    settings = params.load()
    tune = settings.tune
    found = {}
    for name, value in fixed(tune).items():
        print(f"tune: {name} is {value} by hand (tune.{name}); not searched for")

    trials = pd.DataFrame(columns=COLUMNS)
    metrics: dict[str, Any] = {"trials": 0}
    if len(fixed(tune)) < 2:
        trials = search(tune, settings.seed)
        column, ascending = tune.objective, tune.objective == "val_loss"
        winner = trials.sort_values(column, ascending=ascending, kind="stable").iloc[0]
        if tune.searches_units:
            found["units"] = int(winner["units"])
        if tune.searches_learning_rate:
            found["learning_rate"] = float(winner["learning_rate"])
        metrics = {
            "trials": len(trials),
            "trial": int(winner["trial"]),
            "val_accuracy": float(winner["val_accuracy"]),
            "val_loss": float(winner["val_loss"]),
        }

    with atomic_file(TRIALS) as unfinished:
        trials.to_csv(unfinished, index=False)
    write_json(METRICS, metrics)
    write_yaml(HYPERPARAMETERS, found)
    print(f"tune: {found}, after {metrics['trials']} trials")


if __name__ == "__main__":
    run(main)
