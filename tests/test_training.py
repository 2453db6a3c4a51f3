"""Building, training, evaluating and saving a network; the folds."""

import numpy as np
import pytest

from stages import cv_lenet
from stages.common import lenet, models
from stages.common.keras_setup import keras, seed_everything
from stages.common.training import train_and_evaluate


@pytest.fixture(scope="module")
def separable() -> tuple[np.ndarray, np.ndarray]:
    """200 images whose class can be told from a bright row: x (n, 28, 28, 1), y (n, 10)."""
    labels = np.arange(200) % 10
    x = np.random.default_rng(0).random((200, 28, 28, 1), np.float32) * 0.2
    x[np.arange(200), 2 * labels + 3] += 0.8
    return x, np.eye(10, dtype=np.float32)[labels]


def test_lenet_has_the_studys_layers():
    """The table in the study, layer by layer."""
    model = lenet.build(units=248, learning_rate=0.001)
    assert [layer.output.shape[1:] for layer in model.layers] == [
        (28, 28, 32),
        (14, 14, 32),
        (10, 10, 48),
        (5, 5, 48),
        (1200,),
        (248,),
        (84,),
        (10,),
    ]
    assert model.count_params() == 832 + 38_448 + 1201 * 248 + 249 * 84 + 850
    activations = [layer.activation.__name__ for layer in model.layers if layer.weights]
    assert activations == ["relu"] * 4 + ["softmax"]
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.001)
    assert model.loss == "categorical_crossentropy"


def train(separable, epochs):
    x, y = separable
    held_out = (x[150:], y[150:])
    seed_everything(0)
    model = lenet.build(32, 0.01)
    train = (x[:150], y[:150])
    return model, train_and_evaluate(model, train, held_out, held_out, epochs=epochs, batch_size=32)


def test_training_learns_and_reports_the_last_and_the_best_epoch(separable):
    """With the validation images as test images, both must be told of the same numbers."""
    model, found = train(separable, epochs=6)
    curves, metrics = found.curves, found.metrics
    assert list(curves["epoch"]) == [1, 2, 3, 4, 5, 6]
    assert metrics["parameters"] == model.count_params()
    assert metrics["test_accuracy"] > 0.9
    assert metrics["test_loss"] == pytest.approx(metrics["val_loss"], abs=1e-5)
    best = curves.loc[curves["val_loss"].idxmin()]
    assert metrics["best_epoch"] == best["epoch"]
    assert metrics["best_epoch_test_loss"] == pytest.approx(best["val_loss"], abs=1e-5)
    assert metrics["best_epoch_test_accuracy"] == pytest.approx(best["val_accuracy"], abs=1e-5)
    x, y = separable
    np.testing.assert_allclose(model.predict(x[150:], verbose=0), found.probabilities, atol=1e-3)
    assert list(found.labels) == list(y[150:].argmax(axis=1))


def test_the_best_epoch_may_come_before_the_last(separable):
    """Validated on wrong labels, the network gets worse as it learns."""
    x, y = separable
    wrong = (x[150:], np.roll(y[150:], 1, axis=1))
    seed_everything(0)
    model = lenet.build(32, 0.01)
    found = train_and_evaluate(model, (x[:150], y[:150]), wrong, wrong, epochs=4, batch_size=32)
    best = found.curves.loc[found.curves["val_loss"].idxmin()]
    assert best["epoch"] < 4
    assert found.metrics["best_epoch"] == best["epoch"]
    assert found.metrics["best_epoch_test_loss"] == pytest.approx(best["val_loss"], rel=1e-4)
    assert found.metrics["best_epoch_test_loss"] < found.metrics["test_loss"]
    # The model itself is left as after the last epoch.
    assert model.evaluate(*wrong, verbose=0)[0] == pytest.approx(found.metrics["test_loss"])


def test_training_twice_gives_the_same_bytes(separable, tmp_path):
    files = []
    for name in ("first.keras", "second.keras"):
        model, _ = train(separable, epochs=2)
        models.save_model(lenet.with_raw_images(model), tmp_path / name)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]


def test_a_saved_model_takes_raw_images(separable, tmp_path):
    x, _ = separable
    model, _ = train(separable, epochs=1)
    models.save_model(lenet.with_raw_images(model), tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    raw = np.rint(x[..., 0] * 255).astype(np.uint8)
    expected = model.predict(raw[..., np.newaxis] / np.float32(255), verbose=0)
    np.testing.assert_allclose(loaded.predict(raw, verbose=0), expected, atol=1e-5)
    # No optimizer's state: the weights alone, and little besides.
    assert (tmp_path / "model.keras").stat().st_size < 4 * model.count_params() + 60_000


def test_folds_are_disjoint_and_cover_every_image():
    splits = [cv_lenet.split(103, 5, fold, seed=0) for fold in range(1, 6)]
    assert sorted(np.concatenate([validation for _, validation in splits])) == list(range(103))
    for training, validation in splits:
        assert sorted([*training, *validation]) == list(range(103))


def test_folds_are_shuffled_by_the_seed():
    first, again, other = (cv_lenet.split(100, 5, 1, seed)[1] for seed in (0, 0, 1))
    assert list(first) == list(again)
    assert list(first) != list(other)
    assert list(first) != list(range(20))
