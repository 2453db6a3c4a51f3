"""Search for LeNet-5's hyperparameters with Keras Tuner.

Reads `data/encoded/`, training set only. What `lenet.study` sets by hand is held fixed, and only
what it calls `tuned` is searched for.

Writes `models/lenet/hyperparameters.yaml` (units, learning_rate), `metrics/tune.json`, and
`plots/tune/trials.csv`, a row a trial.

A search that was interrupted goes on where it stopped: its trials lie in `.work/tune/` until it is
done, under a digest of everything that could change them.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from stages.common import lenet, params, work
from stages.common.command import run
from stages.common.files import load_array, whole_file, write_json, write_yaml
from stages.common.keras_setup import keras, seed_everything, use_deterministic_operations

import keras_tuner  # isort: skip  # imports Keras, which keras_setup must do first

INPUT = Path("data/encoded")
HYPERPARAMETERS = "models/lenet/hyperparameters.yaml"
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
        fixed: hyperparameters set by hand, by name.
        seed: of every trial, so that a trial does not depend on which ones ran before it.
    """

    def __init__(self, tune: params.Tune, fixed: dict[str, Any], seed: int):
        super().__init__()
        self.tune, self.fixed, self.seed = tune, fixed, seed
        self.bar = None

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        seed_everything(self.seed)
        units, rates = self.tune.units, self.tune.learning_rate
        chosen = {
            "units": lambda: hp.Int("units", units.min, units.max, step=units.step),
            "learning_rate": lambda: hp.Choice("learning_rate", rates),
        }
        model = lenet.build(**{n: self.fixed.get(n) or choose() for n, choose in chosen.items()})
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


def combinations(tune: params.Tune, fixed: dict[str, Any]) -> int:
    """How many different trials there can be."""
    units = len(range(tune.units.min, tune.units.max + 1, tune.units.step))
    rates = len(set(tune.learning_rate))
    return (1 if "units" in fixed else units) * (1 if "learning_rate" in fixed else rates)


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
        needed = sum(
            trials
            for number, trials, _ in hyperband_rounds(
                keras_tuner.oracles.HyperbandOracle(tune.objective, **schedule)
            )
            if number == 0
        )
        if combinations(tune, model.fixed) >= needed * tune.hyperband_iterations:
            return keras_tuner.Hyperband(model, **schedule, **common)
        print("tune: too few combinations for Hyperband; training each of them to the end")
        return keras_tuner.GridSearch(model, **common)
    kinds = {
        "bayesian": keras_tuner.BayesianOptimization,
        "random": keras_tuner.RandomSearch,
    }
    return kinds[tune.algorithm](model, max_trials=tune.max_trials, **common)


def hyperband_rounds(oracle: keras_tuner.oracles.HyperbandOracle) -> list[tuple[int, int, int]]:
    """For each round of each bracket its number, its trials, and the epochs that each adds."""
    # Keras Tuner has no public word for its schedule.
    return [
        (
            number,
            oracle._get_size(bracket, number),
            oracle._get_epochs(bracket, number)
            - (oracle._get_epochs(bracket, number - 1) if number else 0),
        )
        for bracket in range(oracle._get_num_brackets())
        for number in range(oracle._get_num_rounds(bracket))
    ]


def planned_epochs(tuner: keras_tuner.Tuner, tune: params.Tune, fixed: dict[str, Any]) -> int:
    """How many epochs the search takes if no trial stops early."""
    if isinstance(tuner, keras_tuner.Hyperband):
        rounds = hyperband_rounds(tuner.oracle)
        return tune.hyperband_iterations * sum(trials * epochs for _, trials, epochs in rounds)
    trials = combinations(tune, fixed)
    if not isinstance(tuner, keras_tuner.GridSearch):
        trials = min(trials, tune.max_trials)
    return trials * tune.max_epochs


def trials_table(tuner: keras_tuner.Tuner, fixed: dict[str, Any], max_epochs: int) -> pd.DataFrame:
    """One row a finished trial, columns `COLUMNS`, in the order in which they ran.

    `last_epoch` is the planned one: early stopping may have ended the trial before it.
    """
    rows = []
    for number, name in enumerate(tuner.oracle.end_order):
        trial = tuner.oracle.get_trial(name)
        values = {**trial.hyperparameters.values, **fixed}
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
                "last_epoch": values.get("tuner/epochs", max_epochs),
                "best_epoch": epochs_before + trial.best_step + 1,
                "val_accuracy": trial.metrics.get_last_value("val_accuracy"),
                "val_loss": trial.metrics.get_last_value("val_loss"),
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)


def search(tune: params.Tune, fixed: dict[str, Any], seed: int) -> pd.DataFrame:
    """Run the search, or what is left of it, and return its trials."""
    paths = [INPUT / "x_train.npy", INPUT / "y_train.npy"]
    settings = {"tune": tune.model_dump(), "fixed": fixed, "seed": seed}
    folder = work.folder("tune", settings, paths)
    use_deterministic_operations()
    model = Lenet(tune, fixed, seed)
    tuner = make_tuner(model, tune, folder, seed)
    done = trials_table(tuner, fixed, tune.max_epochs)
    if len(done):
        print(f"tune: going on after {len(done)} finished trials in {folder}", flush=True)

    x, y = (load_array(path) for path in paths)
    with tqdm(
        total=planned_epochs(tuner, tune, fixed),
        initial=int((done["last_epoch"] - done["first_epoch"] + 1).sum()),
        unit="epoch",
        mininterval=0.5 if sys.stderr.isatty() else 10,
    ) as model.bar:
        tuner.search(
            x,
            y,
            epochs=tune.max_epochs,
            batch_size=tune.batch_size,
            validation_split=tune.validation_split,
            callbacks=[keras.callbacks.EarlyStopping("val_loss", patience=tune.patience)],
            verbose=0,
        )
    trials = trials_table(tuner, fixed, tune.max_epochs)
    shutil.rmtree(folder)
    return trials


def main() -> None:
    settings = params.load()
    tune, study = settings.tune, params.recipe(settings.lenet, "study", "lenet")
    best = {
        name: value
        for name in ("units", "learning_rate")
        if (value := getattr(study, name)) != "tuned"
    }
    for name, value in best.items():
        print(f"tune: {name} is {value} by hand (lenet.study.{name}); not searched for")

    trials = pd.DataFrame(columns=COLUMNS)
    metrics: dict[str, Any] = {"trials": 0}
    if len(best) < 2:
        trials = search(tune, best, settings.seed)
        column, ascending = tune.objective, tune.objective == "val_loss"
        winner = trials.sort_values(column, ascending=ascending, kind="stable").iloc[0]
        best = {
            "units": int(winner["units"]),
            "learning_rate": float(winner["learning_rate"]),
        }
        metrics = {
            "trials": len(trials),
            "trial": int(winner["trial"]),
            "val_accuracy": float(winner["val_accuracy"]),
            "val_loss": float(winner["val_loss"]),
        }

    with whole_file(TRIALS) as unfinished:
        trials.to_csv(unfinished, index=False)
    write_json(METRICS, {**metrics, **best})
    write_yaml(HYPERPARAMETERS, best)
    print(
        f"tune: units {best['units']}, learning rate {best['learning_rate']:g}, "
        f"after {metrics['trials']} trials"
    )


if __name__ == "__main__":
    run(main)
