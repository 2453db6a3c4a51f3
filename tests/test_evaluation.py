"""`stages/results/evaluation.py`: the numbers worked out by hand, and the files."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.base.files import load_arrays, read_json, write_json
from stages.results import evaluation
from stages.results.evaluation import Predictions


def sure_of_the_first(confidences: list[float]) -> np.ndarray:
    """A row for each confidence: so much for class 0, the rest evenly for nine others."""
    rows = np.array([np.full(10, (1 - confidence) / 9) for confidence in confidences])
    rows[:, 0] = confidences
    return rows


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def random_predictions(rows: int, seed: int, sharpness: float = 1.0) -> Predictions:
    """Labels drawn by the softmax of random logits; probabilities of logits times `sharpness`."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(rows, 10)) * 2
    labels = np.array([random.choice(10, p=p) for p in softmax(logits)], np.uint8)
    return Predictions(softmax(logits * sharpness), labels)


def test_a_probability_of_zero_costs_as_much_as_in_keras():
    """It is bounded at 1e-7, also where float16, as in the files, has no such number."""
    sure = Predictions(np.eye(10, dtype=np.float16)[[0, 1]], np.array([0, 2]))
    assert sure.loss == pytest.approx(-np.log(1e-7) / 2)
    assert sure.accuracy == 0.5


def test_the_calibration_error_by_hand():
    """Bins of a fifteenth: 0.41 and 0.46 share one (0.4 to 0.467), 0.95 and 1 the last."""
    confidences = [0.41, 0.46, 0.47, 0.92, 0.95, 1.0]
    some = Predictions(sure_of_the_first(confidences), np.array([0, 1, 0, 0, 1, 0]))
    differences = 2 * abs(0.5 - 0.435) + (1 - 0.47) + (1 - 0.92) + 2 * abs(0.5 - 0.975)
    assert some.calibration_error == pytest.approx(differences / 6)


@pytest.mark.parametrize("sharpness", [0.5, 2.0])
def test_the_best_temperature_undoes_what_made_it_too_sure(sharpness):
    some = random_predictions(3_000, seed=3, sharpness=sharpness)
    temperature = evaluation.best_temperature(some)
    assert temperature == pytest.approx(sharpness, rel=0.05)
    losses = [some.at(temperature * step).loss for step in (0.9, 1, 1.1)]
    assert np.argmin(losses) == 1
    assert some.at(temperature).calibration_error < some.calibration_error


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a training, in a folder that is entered."""
    monkeypatch.chdir(tmp_path)
    folder = Path("models/vgg/study/1")
    folder.mkdir(parents=True)
    validation = random_predictions(300, seed=4, sharpness=1.5)
    np.savez(
        folder / "validation.npz",
        probabilities=validation.probabilities.astype(np.float32),
        labels=validation.labels,
        rows=np.arange(700, 1000, dtype=np.uint32),
    )
    history = {"epoch": [1, 2, 3], "accuracy": [0.5, 0.6, 0.7], "val_accuracy": [0.4, 0.5, 0.45]}
    history |= {"loss": [3.0, 2.0, 1.0], "val_loss": [2.5, 1.5, 1.75]}
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    write_json(folder / "training.json", {"best_epoch": 2, "classes": ["cat", "dog"]})
    return folder


def test_every_number_is_that_of_its_name_and_of_the_file(trained):
    """In half precision, as in the file, so that who computes it from there gets the same."""
    last, best = random_predictions(100, seed=5), random_predictions(100, seed=6)
    folder = Path("metrics/vgg/study/1")
    sentence = evaluation.evaluate(trained, folder, last, best)
    run, validation = evaluation.load("vgg", "study", 1), load_arrays(trained / "validation.npz")
    for kept, given in ((run.test, vars(last)), (run.validation, validation)):
        np.testing.assert_array_equal(kept.probabilities, given["probabilities"].astype(np.float16))
        np.testing.assert_array_equal(kept.labels, given["labels"])
    calibrated = run.test.at(evaluation.best_temperature(run.validation))
    best_kept = best.in_half_precision()
    assert run.metrics == {
        "train_accuracy": 0.7,
        "train_loss": 1.0,
        "val_accuracy": run.validation.accuracy,
        "val_loss": run.validation.loss,
        "val_calibration_error": run.validation.calibration_error,
        "test_accuracy": run.test.accuracy,
        "test_loss": run.test.loss,
        "test_calibration_error": run.test.calibration_error,
        "temperature": evaluation.best_temperature(run.validation),
        "calibrated_test_loss": calibrated.loss,
        "calibrated_test_calibration_error": calibrated.calibration_error,
        "best_epoch": 2,
        "best_epoch_val_loss": 1.5,
        "best_epoch_test_accuracy": best_kept.accuracy,
        "best_epoch_test_loss": best_kept.loss,
    }
    assert run.metrics["temperature"] == pytest.approx(1.5, rel=0.15)
    assert sentence.startswith(f"test accuracy {run.test.accuracy:.2%}, loss {run.test.loss:.4f} (")
    assert list(run.validation_rows) == list(range(700, 1000))
    assert run.training == read_json(trained / "training.json")
    assert (folder / "history.csv").read_bytes() == (trained / "history.csv").read_bytes()
