"""`stages/results/evaluation.py`: the numbers against hand and scikit-learn, and the files."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, log_loss

from stages import evaluate_head, evaluate_lenet, export
from stages.base.files import read_json, write_json
from stages.networks.lenet import build
from stages.networks.raw_lenet import on_raw_images
from stages.results import evaluation
from stages.results.evaluation import Predictions
from stages.training.keras_setup import keras
from stages.training.saving import save_model
from tests.helpers import contents, message_of
from tests.project import set_params


def spread(confidences: list[float], first: int = 0) -> np.ndarray:
    """A row for each confidence: so much for the class `first`, the rest evenly for the others."""
    rows = np.array([np.full(10, (1 - confidence) / 9) for confidence in confidences])
    rows[:, first] = confidences
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


class TestPredictions:
    def test_accuracy_and_loss_by_hand(self):
        found = Predictions(spread([0.91, 0.82, 0.64, 0.1 + 1e-9]), np.array([0, 0, 5, 0]))
        assert found.accuracy == 0.75
        by_hand = -np.mean(np.log([0.91, 0.82, 0.04, 0.1]))
        assert found.loss == pytest.approx(by_hand, abs=1e-7)

    def test_accuracy_and_loss_agree_with_scikit_learn(self):
        found = random_predictions(200, seed=1)
        predicted = found.probabilities.argmax(axis=1)
        assert found.accuracy == accuracy_score(found.labels, predicted)
        expected = log_loss(found.labels, found.probabilities, labels=range(10))
        assert found.loss == pytest.approx(expected, rel=1e-9)

    def test_a_probability_of_zero_costs_what_keras_says(self):
        """It is bounded at 1e-7; float16, as in the files, is computed with in float64."""
        sure = np.eye(10, dtype=np.float16)[[0, 1]]
        assert Predictions(sure, np.array([0, 1])).loss == pytest.approx(0, abs=1e-5)
        assert Predictions(sure, np.array([0, 2])).loss == pytest.approx(-np.log(1e-7) / 2)

    def test_a_temperature_divides_the_logits(self):
        found = random_predictions(50, seed=2)
        np.testing.assert_allclose(found.at(1).probabilities, found.probabilities, rtol=1e-9)
        logits = np.log(found.probabilities)
        np.testing.assert_allclose(found.at(2).probabilities, softmax(logits / 2), rtol=1e-9)
        assert list(found.at(0.1).predicted) == list(found.predicted)
        assert found.at(2).labels is found.labels


class TestCalibration:
    by_hand = Predictions(
        spread([0.41, 0.46, 0.47, 0.92, 0.95, 1.0]), labels=np.array([0, 1, 0, 0, 1, 0])
    )

    def test_reliability_by_hand(self):
        """Bins of a fifteenth: 0.41 and 0.46 share one (0.4 to 0.467), 0.95 and 1 the last."""
        expected = {
            "confidence": [0.435, 0.47, 0.92, 0.975],
            "accuracy": [0.5, 1.0, 1.0, 0.5],
            "images": [2, 1, 1, 2],
        }
        found = evaluation.reliability(self.by_hand)
        pd.testing.assert_frame_equal(found, pd.DataFrame(expected))

    def test_calibration_error_by_hand(self):
        differences = 2 * abs(0.5 - 0.435) + (1 - 0.47) + (1 - 0.92) + 2 * abs(0.5 - 0.975)
        assert self.by_hand.calibration_error == pytest.approx(differences / 6)

    def test_who_is_as_often_right_as_sure_has_no_error(self):
        labels = np.array([0, 0, 0, 0, 1])
        assert Predictions(spread([0.8] * 5), labels).calibration_error == pytest.approx(0)

    @pytest.mark.parametrize("sharpness", [0.5, 2.0])
    def test_the_best_temperature_undoes_what_made_it_too_sure(self, sharpness):
        found = random_predictions(3_000, seed=3, sharpness=sharpness)
        temperature = evaluation.best_temperature(found)
        assert temperature == pytest.approx(sharpness, rel=0.05)
        logits = np.log(found.probabilities)
        grid = np.geomspace(temperature / 1.2, temperature * 1.2, 41)
        losses = [log_loss(found.labels, softmax(logits / step)) for step in grid]
        assert grid[np.argmin(losses)] == pytest.approx(temperature, rel=0.01)
        assert found.at(temperature).calibration_error < found.calibration_error


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a training leaves, in a folder that is entered."""
    monkeypatch.chdir(tmp_path)
    folder = Path("models/lenet/study-1")
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
    write_json(folder / "training.json", {"best_epoch": 2, "units": 8})
    (folder / "best.weights.h5").write_bytes(b"weights")
    return folder


class TestEvaluate:
    test = evaluation.in_half_precision(random_predictions(100, seed=5))
    best = random_predictions(100, seed=6)
    output = Path("metrics/lenet/study-1")

    def evaluate(self, trained: Path, test: Predictions) -> dict[str, float]:
        def best_probabilities(path: Path) -> np.ndarray:
            assert path.read_bytes() == b"weights"
            return self.best.probabilities

        sentence = evaluation.evaluate(trained, self.output, test, best_probabilities)
        kept = evaluation.in_half_precision(test)
        assert sentence.startswith(f"test accuracy {kept.accuracy:.2%}, loss {kept.loss:.4f} (")
        return read_json(self.output / "metrics.json")

    def test_every_number_is_that_of_its_name(self, trained):
        found = self.evaluate(trained, self.test)
        with np.load(trained / "validation.npz") as arrays:
            validation = Predictions(arrays["probabilities"], arrays["labels"])
        validation = evaluation.in_half_precision(validation)
        temperature = evaluation.best_temperature(validation)
        calibrated = self.test.at(temperature)
        of_best = Predictions(self.best.probabilities, self.test.labels)
        of_best = evaluation.in_half_precision(of_best)
        assert found == {
            "train_accuracy": 0.7,
            "train_loss": 1.0,
            "val_accuracy": validation.accuracy,
            "val_loss": validation.loss,
            "val_calibration_error": validation.calibration_error,
            "test_accuracy": self.test.accuracy,
            "test_loss": self.test.loss,
            "test_calibration_error": self.test.calibration_error,
            "temperature": temperature,
            "calibrated_test_loss": calibrated.loss,
            "calibrated_test_calibration_error": calibrated.calibration_error,
            "best_epoch": 2,
            "best_epoch_val_loss": 1.5,
            "best_epoch_test_accuracy": of_best.accuracy,
            "best_epoch_test_loss": of_best.loss,
        }
        assert all(isinstance(number, int | float) for number in found.values())
        assert temperature == pytest.approx(1.5, rel=0.15)

    def test_the_rest_is_copied_and_kept_in_half_precision(self, trained):
        self.evaluate(trained, self.test)
        names = ["history.csv", "metrics.json", "predictions.npz", "training.json"]
        assert sorted(path.name for path in self.output.iterdir()) == names
        for name in ("training.json", "history.csv"):
            assert (self.output / name).read_bytes() == (trained / name).read_bytes()
        run = evaluation.load("lenet/study-1")
        assert run.metrics == read_json(self.output / "metrics.json")
        assert run.training == {"best_epoch": 2, "units": 8}
        assert list(run.curves["val_loss"]) == [2.5, 1.5, 1.75]
        assert run.test.probabilities.dtype == run.validation.probabilities.dtype == np.float16
        half = self.test.probabilities.astype(np.float16)
        np.testing.assert_array_equal(run.test.probabilities, half)
        np.testing.assert_array_equal(run.test.labels, self.test.labels)
        with np.load(trained / "validation.npz") as arrays:
            half = arrays["probabilities"].astype(np.float16)
            np.testing.assert_array_equal(run.validation.probabilities, half)
            np.testing.assert_array_equal(run.validation.labels, arrays["labels"])
        assert list(run.validation_rows) == list(range(700, 1000))

    def test_a_number_is_that_of_the_probabilities_that_are_kept(self, trained):
        """Two classes that are one in half precision: the first of them counts, here and later."""
        close = np.full((100, 10), 0.05)
        close[:, 3], close[:, 7] = 0.30001, 0.30002
        metrics = self.evaluate(trained, Predictions(close, np.full(100, 7, np.uint8)))
        kept = evaluation.load("lenet/study-1").test
        assert kept.accuracy == metrics["test_accuracy"] == 0
        assert kept.loss == pytest.approx(metrics["test_loss"], abs=1e-12)

    def test_the_test_images_do_not_move_the_temperature(self, trained):
        first = self.evaluate(trained, self.test)
        other = self.evaluate(trained, random_predictions(100, seed=7, sharpness=5))
        assert other["test_loss"] != first["test_loss"]
        assert other["temperature"] == first["temperature"]

    def test_what_was_not_evaluated_is_named(self, trained):
        assert message_of(evaluation.load, "lenet/study-1").startswith(
            "metrics/lenet/study-1 is missing; `dvc repro` writes it"
        )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("validation.npz", b"PK, but no archive"),
        ("validation.npz", None),
        ("history.csv", b""),
        ("history.csv", b"epoch,accuracy\n"),
        ("history.csv", b'epoch\n"1'),
    ],
    ids=["no archive", "other arrays", "empty", "no rows", "an open quote"],
)
def test_what_the_training_wrote_and_is_damaged_is_named(trained, name, content):
    if content is None:
        np.savez(trained / name, labels=np.arange(3))
    else:
        (trained / name).write_bytes(content)
    output, images = Path("metrics/lenet/study-1"), TestEvaluate.test
    message = message_of(
        evaluation.evaluate, trained, output, images, lambda _: images.probabilities
    )
    assert message.startswith(f"{trained / name} is damaged (")
    assert not output.exists()


class TestTrainedModel:
    """An evaluation says in one line that the model it is given is none."""

    def messages(self) -> list[str]:
        return [
            message_of(evaluate_lenet.main, "study", 1),
            message_of(evaluate_head.main, "resnet", "study"),
        ]

    @pytest.fixture
    def models(self, project) -> list[Path]:
        folders = [Path("models/lenet/study-1"), Path("models/resnet/study")]
        for folder in folders:
            folder.mkdir(parents=True)
        return [folder / "model.keras" for folder in folders]

    def test_a_damaged_file(self, models):
        for path in models:
            path.write_bytes(b"PK, but no archive")
        for path, message in zip(models, self.messages(), strict=True):
            assert message.startswith(f"{path} is damaged, or no model that this project trained (")
            assert f"; delete {path.parent}, and `dvc checkout`" in message

    def test_somebody_elses_model(self, models):
        for path in models:
            keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten()]).save(path)
        for path, message in zip(models, self.messages(), strict=True):
            assert message.startswith(f"{path} is damaged, or no model that this project trained (")

    def test_damaged_weights_of_the_best_epoch(self, models):
        """Of models that are whole; that of a head has nothing but the head in it."""
        lenet, head = models
        save_model(on_raw_images(build(8)), lenet)
        raw = keras.Input((28, 28))
        layers = [keras.Input((28, 28)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")]
        save_model(keras.Model(raw, keras.Sequential(layers, name="resnet")(raw)), head)
        for folder in ("data/encoded/test", "data/features/resnet50-study/test"):
            Path(folder).mkdir(parents=True)
        np.save("data/encoded/test/labels.npy", np.eye(10, dtype=np.float32))
        np.save("data/encoded/test/images.npy", np.zeros((10, 28, 28, 1), np.float32))
        np.save("data/features/resnet50-study/test/features.npy", np.zeros((10, 28, 28)))
        weights = [path.with_name("best.weights.h5") for path in models]
        for path in weights:
            path.write_bytes(b"no weights")
            np.savez(
                path.with_name("validation.npz"),
                probabilities=np.full((10, 10), 0.1, np.float32),
                labels=np.arange(10, dtype=np.uint8),
                rows=np.arange(10, dtype=np.uint32),
            )
        for path, message in zip(weights, self.messages(), strict=True):
            assert message.startswith(f"{path} is damaged, or no model that this project trained (")
        assert not Path("metrics").exists()

    @pytest.mark.parametrize("entry", [None, "config.json", "model.weights.h5"])
    def test_an_export_of_what_is_none(self, models, entry):
        """Of no archive, of one without weights, and of one whose weights are none."""
        set_params(Path(), {"export.recipe": "study"})
        path, exported = models[0], Path("models/exported/1.keras")
        exported.parent.mkdir()
        exported.write_bytes(b"former")
        path.write_bytes(b"PK, but no archive")
        if entry:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr(entry, b"no weights")
        message = message_of(export.main, 1)
        assert message.startswith(f"{path} is damaged, or no model that this project trained (")
        assert contents(exported.parent) == {"1.keras": b"former"}

    def test_a_model_that_is_missing_is_not_called_damaged(self, models):
        for path, message in zip(models, self.messages(), strict=True):
            assert message.startswith(f"{path} is missing; ")
