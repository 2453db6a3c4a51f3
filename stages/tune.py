"""Search for LeNet-5's hyperparameters with Keras Tuner.

Reads `data/encoded/train/`. Searches what the params section `tune` gives a choice of; what it
gives as one value is fixed.

Writes `models/tune/`: `hyperparameters.yaml`, the best values of what was searched (units,
learning_rate), `tune.json`, how good they are, and `trials.csv`, a row a trial. The stage `choose`
copies them for Git.

A search that was interrupted goes on after its last finished trial. Until it ends, its trials are
in `.work/tune/`, under a digest of everything that could change them.
"""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from stages import params
from stages.base.files import atomic_folder, load_array, read_json, write_json, write_yaml
from stages.cli import run
from stages.networks import lenet
from stages.training import resume
from stages.training.batches import Batches, BeginEpoch, last_rows
from stages.training.fitting import steps_at_a_time
from stages.training.keras_setup import keras, seed_everything, use_deterministic_operations

import keras_tuner  # isort: skip  # imports Keras, which keras_setup must do first

INPUT = Path("data/encoded/train")
OUTPUT = Path("models/tune")
SEARCHABLE = ("units", "learning_rate")
COLUMNS = [
    "trial",
    "bracket",
    "round",
    "units",
    "learning_rate",
    "first_epoch",
    "last_epoch",
    "best_epoch",
    "val_accuracy",
    "val_loss",
]


class Lenet(keras_tuner.HyperModel):
    """LeNet-5 as Keras Tuner builds and trains it, a trial at a time.

    Args:
        tune: the section of the params.
        classes: number of classes.
        seed: of every trial, so that a trial does not depend on the trials before it.
    """

    def __init__(self, tune: params.Tune, classes: int, seed: int):
        super().__init__()
        self.tune, self.classes, self.seed = tune, classes, seed

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        seed_everything(self.seed)
        units, learning_rate = self.tune.units, self.tune.learning_rate
        if self.tune.searches_units:
            units = hp.Int("units", units.min, units.max, step=units.step)
        if self.tune.searches_learning_rate:
            learning_rate = hp.Choice("learning_rate", learning_rate)
        model = lenet.build(units, self.classes)
        model.compile(
            optimizer=keras.optimizers.Adam(learning_rate),
            loss="categorical_crossentropy",
            metrics=["accuracy"],
            steps_per_execution=steps_at_a_time(),
        )
        # A trial that Hyperband promotes loads its checkpoint into this model, and Keras skips the
        # optimizer's part of it if the optimizer has no variables yet.
        model.optimizer.build(model.trainable_variables)
        return model

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, batches: Batches, **kwargs):
        # Here, because Keras Tuner copies the callbacks of `search`, and this one holds the images.
        kwargs["callbacks"] = [*kwargs["callbacks"], BeginEpoch(batches)]
        history = model.fit(batches, shuffle=False, **kwargs)
        # A trial that diverges is the worst of all; Keras Tuner would take NaN for an error.
        losses = history.history["val_loss"]
        history.history["val_loss"] = [math.inf if math.isnan(loss) else loss for loss in losses]
        searched = {name: hp.values[name] for name in SEARCHABLE if name in hp.values}
        epochs, accuracies = history.epoch, history.history["val_accuracy"]
        print(
            f"tune: {searched}, epochs {epochs[0] + 1} to {epochs[-1] + 1}: "
            f"validation accuracy {max(accuracies):.4f}",
            flush=True,
        )
        return history


def fixed(tune: params.Tune) -> dict[str, Any]:
    """The hyperparameters that are not searched, by name."""
    searched = {"units": tune.searches_units, "learning_rate": tune.searches_learning_rate}
    return {name: getattr(tune, name) for name, is_searched in searched.items() if not is_searched}


def combinations(tune: params.Tune) -> int:
    """The number of different trials."""
    units, rates = tune.units, tune.learning_rate
    number = len(set(rates)) if tune.searches_learning_rate else 1
    if tune.searches_units:
        number *= len(range(units.min, units.max + 1, units.step))
    return number


def first_round_trials(max_epochs: int, factor: int) -> int:
    """The number of trials with which Hyperband begins its brackets (Li et al. 2018, algorithm 1).

    Rounded as Keras Tuner does.
    """
    brackets = 1
    while factor**brackets <= max_epochs:
        brackets += 1
    at_the_end = math.ceil(1 + math.log(max_epochs, factor))
    return sum(math.ceil(at_the_end / (b + 1) * factor**b) for b in range(brackets))


def make_tuner(model: Lenet, tune: params.Tune, folder: Path, seed: int) -> keras_tuner.Tuner:
    """The tuner that `tune.algorithm` names; it takes up an unfinished search in `folder`.

    Hyperband stops silently, before it promotes any trial, when it has too few combinations to
    begin with: then each is trained to the end (`GridSearch`).
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
        if combinations(tune) < first_round_trials(tune.max_epochs, tune.factor):
            print("tune: too few combinations for Hyperband; training each of them to the end")
            return keras_tuner.GridSearch(model, **common)
        return keras_tuner.Hyperband(
            model, max_epochs=tune.max_epochs, factor=tune.factor, **common
        )
    kinds = {
        "bayesian": keras_tuner.BayesianOptimization,
        "random": keras_tuner.RandomSearch,
    }
    return kinds[tune.algorithm](model, max_trials=tune.max_trials, **common)


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
    """Run the search, or the rest of it, and return its trials."""
    paths = [INPUT / "images.npy", INPUT / "labels.npy"]
    folder = resume.folder("tune", {"tune": tune.model_dump(), "seed": seed}, paths)
    use_deterministic_operations()
    model = Lenet(tune, len(read_json(INPUT / "classes.json")), seed)
    try:
        tuner = make_tuner(model, tune, folder, seed)
    except json.JSONDecodeError:
        # Keras Tuner writes its files in place: a kill in that moment leaves half of one.
        print(f"tune: {folder} was left half-written; beginning again", flush=True)
        shutil.rmtree(folder)
        tuner = make_tuner(model, tune, folder, seed)
    if done := len(trials_table(tuner, tune)):
        print(f"tune: going on after {done} finished trials in {folder}", flush=True)

    x, y = map(load_array, paths)
    training_rows, validation_rows = last_rows(len(x), tune.validation_split)
    tuner.search(
        Batches([x], y, training_rows, tune.batch_size, seed),
        validation_data=Batches([x], y, validation_rows),
        epochs=tune.max_epochs,
        callbacks=[keras.callbacks.EarlyStopping("val_loss", patience=tune.patience)],
        verbose=0,
    )
    trials = trials_table(tuner, tune)
    shutil.rmtree(folder)
    return trials


def main() -> None:
    settings = params.load()
    tune = settings.tune
    for name, value in fixed(tune).items():
        print(f"tune: {name} is fixed at {value} by tune.{name}; not searched")

    best: dict[str, Any] = {}
    trials = pd.DataFrame(columns=COLUMNS)
    metrics: dict[str, Any] = {"trials": 0}
    if len(fixed(tune)) < len(SEARCHABLE):
        trials = search(tune, settings.seed)
        column, ascending = tune.objective, tune.objective == "val_loss"
        winner = trials.sort_values(column, ascending=ascending, kind="stable").iloc[0]
        if tune.searches_units:
            best["units"] = int(winner["units"])
        if tune.searches_learning_rate:
            best["learning_rate"] = float(winner["learning_rate"])
        metrics = {
            "trials": len(trials),
            "trial": int(winner["trial"]),
            "val_accuracy": float(winner["val_accuracy"]),
            "val_loss": float(winner["val_loss"]),
        }

    with atomic_folder(OUTPUT) as folder:
        trials.to_csv(folder / "trials.csv", index=False)
        write_json(folder / "tune.json", metrics)
        write_yaml(folder / "hyperparameters.yaml", best)
    print(f"tune: {best}, after {metrics['trials']} trials")


if __name__ == "__main__":
    run(main)
