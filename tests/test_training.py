"""Building, training and saving LeNet-5; what an interruption and a recipe's options change."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from stages import cv_lenet, evaluate_lenet, params
from stages.base import files
from stages.networks import lenet
from stages.networks.raw_lenet import AUGMENTATION, on_encoded_images, without_augmentation
from stages.params import LenetRecipe
from stages.results import evaluation
from stages.training import fitting
from stages.training.batches import Batches, fold_rows, last_rows, predict
from stages.training.keras_setup import keras, seed_everything
from stages.training.saving import load_model
from tests.helpers import contents, message_of
from tests.killing import killed
from tests.project import ROOT, set_params

TUNED = {"units": 16, "learning_rate": 0.01}
PLAIN = {"units": "tuned", "learning_rate": "tuned", "epochs": 3, "batch_size": 16}
AUGMENTED = {"flip": True, "shift": 2, "erasing": 0.5}
EVERY_OPTION = AUGMENTED | {
    "batch_normalization": True,
    "dropout": 0.3,
    "weight_decay": 0.01,
    "label_smoothing": 0.1,
    "schedule": "cosine",
    "warmup_epochs": 1,
    "ema_momentum": 0.9,
    "precision": "mixed_bfloat16",
    "average_mirrored": True,
    "average_shifted": 2,
}
RECIPES = {"plain": PLAIN, "every": PLAIN | EVERY_OPTION, "reseeded": PLAIN | {"seed": 1}}
CLASSES = list("abcdefghij")
BUILD = ("batch_normalization", "dropout", "flip", "shift", "erasing")


@pytest.fixture(autouse=True)
def in_a_folder_and_full_precision(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    keras.config.set_dtype_policy("float32")


def separable(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images whose class can be told from a bright row: x (n, 28, 28, 1), one-hot y (n, 10)."""
    labels = np.arange(rows) % 10
    x = np.random.default_rng(seed).random((rows, 28, 28, 1), np.float32) * 0.2
    x[np.arange(rows), 2 * labels + 3] += 0.8
    return x, np.eye(10, dtype=np.float32)[labels]


def recipe(**options) -> LenetRecipe:
    return LenetRecipe(**{**PLAIN, **TUNED, **options})


def fit(recipe: LenetRecipe, x: np.ndarray, y: np.ndarray, validation_y: np.ndarray):
    """Train on all but the last 50 rows, validate on those; the model and its history."""
    seed_everything(0)
    chosen = recipe.model_dump()
    model = lenet.build(recipe.units, 10, **{name: chosen[name] for name in BUILD})
    rows, validation_rows = np.split(np.arange(len(x)), [len(x) - 50])
    fitting.compile_classifier(model, recipe, len(rows))
    history = fitting.fit(
        model,
        Batches([x], y, rows, recipe.batch_size, seed=0),
        Batches([x], validation_y, validation_rows),
        epochs=recipe.epochs,
        name="test",
        work=Path("work"),
    )
    return model, history


class TestNetwork:
    def test_without_options_it_has_the_studys_layers(self):
        """The table in the study, layer by layer."""
        model = lenet.build(248, 10)
        assert [(type(layer).__name__, layer.output.shape[1:]) for layer in model.layers] == [
            ("Conv2D", (28, 28, 32)),
            ("MaxPooling2D", (14, 14, 32)),
            ("Conv2D", (10, 10, 48)),
            ("MaxPooling2D", (5, 5, 48)),
            ("Flatten", (1200,)),
            ("Dense", (248,)),
            ("Dense", (84,)),
            ("Dense", (10,)),
        ]
        assert model.count_params() == 832 + 38_448 + 1201 * 248 + 249 * 84 + 850
        activations = [layer.activation.__name__ for layer in model.layers if layer.weights]
        assert activations == ["relu"] * 4 + ["softmax"]

    def test_options_add_their_layers(self):
        chosen = recipe(**EVERY_OPTION).model_dump()
        model = lenet.build(16, 10, **{name: chosen[name] for name in BUILD})
        assert [type(layer).__name__ for layer in model.layers] == [
            *("RandomFlip", "RandomTranslation", "RandomErasing"),
            *("Conv2D", "MaxPooling2D", "BatchNormalization", "ReLU") * 2,
            *("Flatten", "Dropout", "Dense", "Dropout", "Dense", "Dense"),
        ]
        kept = [layer.name for layer in without_augmentation(model).layers]
        assert kept == [layer.name for layer in model.layers[3:]]

    def test_augmentation_changes_images_in_training_alone(self):
        x, _ = separable(40, seed=1)
        seed_everything(0)
        model = lenet.build(16, 10, flip=True, shift=8, erasing=0.9)
        augment = keras.Model(model.inputs[0], model.get_layer("erasing").output)
        changed = np.asarray(augment(x, training=True))
        assert 0 <= changed.min() < changed.max() <= 1
        assert np.mean(np.abs(changed - x).max(axis=(1, 2, 3)) > 0.1) > 0.9
        np.testing.assert_array_equal(augment(x, training=False), x)
        plain = without_augmentation(model).predict(x, verbose=0)
        np.testing.assert_allclose(model.predict(x, verbose=0), plain, atol=1e-6)

    def test_erasing_blackens_a_rectangle_in_its_share_of_the_images(self):
        white = np.ones((1_000, 28, 28, 1), np.float32)
        seed_everything(0)
        layer = lenet.build(16, 10, erasing=0.3).get_layer("erasing")
        darkened = np.asarray(layer(white, training=True)).min(axis=(1, 2, 3)) == 0
        assert darkened.mean() == pytest.approx(0.3, abs=0.05)


class TestCompile:
    def test_the_studys_recipe_is_plain_adam_and_cross_entropy(self):
        """A key that is optional is not in it, and leaves Keras's own defaults."""
        study = params.load(ROOT / "params.yaml").lenet["study"]
        required = {"units", "learning_rate", "epochs", "batch_size"}
        assert set(study.model_dump(exclude_none=True)) == required
        model = lenet.build(16, 10)
        fitting.compile_classifier(model, cv_lenet.resolved(study, TUNED), 48_000)
        assert type(model.optimizer) is keras.optimizers.Adam
        defaults = keras.optimizers.Adam(0.01, name=model.optimizer.name)
        assert model.optimizer.get_config() == defaults.get_config()
        assert type(model.loss) is keras.losses.CategoricalCrossentropy
        assert model.loss.get_config() == keras.losses.CategoricalCrossentropy().get_config()

    def test_options_reach_optimizer_and_loss(self):
        model = lenet.build(16, 10)
        chosen = recipe(weight_decay=0.02, label_smoothing=0.1, ema_momentum=0.9)
        fitting.compile_classifier(model, chosen, 100)
        found = model.optimizer.get_config()
        assert (found["weight_decay"], found["use_ema"], found["ema_momentum"]) == (0.02, True, 0.9)
        assert model.loss.label_smoothing == 0.1

    @pytest.mark.parametrize(
        ("warmup_epochs", "rates"),
        [(1, {0: 0, 2: 0.005, 4: 0.01, 12: 0.005, 20: 0}), (None, {0: 0.01, 10: 0.005, 20: 0})],
    )
    def test_a_cosine_schedule_ends_at_0_after_the_last_step(self, warmup_epochs, rates):
        """100 images in batches of 32 are 4 steps an epoch, the last one smaller."""
        model = lenet.build(16, 10)
        options = {"schedule": "cosine", "epochs": 5, "batch_size": 32}
        fitting.compile_classifier(model, recipe(**options, warmup_epochs=warmup_epochs), 100)
        for step, rate in rates.items():
            model.optimizer.iterations.assign(step)
            assert float(model.optimizer.learning_rate) == pytest.approx(rate, abs=1e-7)


class TestBatches:
    """Each row holds its own number, and 1,000 more in the second view."""

    rows = np.arange(3, 40)
    views = tuple(np.arange(50, dtype=np.float16)[:, np.newaxis] + add for add in (0, 1000))
    labels = np.arange(50)[:, np.newaxis] * np.ones(10, np.float32)

    def batches(self, seed: int | None = 0, epoch: int = 0) -> Batches:
        batches = Batches(self.views, self.labels, self.rows, 8, seed)
        batches.begin_epoch(epoch)
        return batches

    def drawn(self, batches: Batches) -> np.ndarray:
        """What an epoch's batches hold, one after another."""
        found = [batches[number] for number in range(len(batches))]
        assert [len(x) for x, _ in found] == [8, 8, 8, 8, 5]
        assert {x.dtype for x, _ in found} == {np.dtype(np.float32)}
        for x, y in found:
            np.testing.assert_array_equal(x[:, 0] % 1000, y[:, 0])
        return np.concatenate([x[:, 0] for x, _ in found])

    def test_an_epoch_has_every_row_once_with_its_label(self):
        for epoch in range(3):
            found = self.drawn(self.batches(epoch=epoch)) % 1000
            assert sorted(found) == list(self.rows)
            assert list(found) != list(self.rows)

    def test_the_order_depends_on_seed_and_epoch_alone(self):
        through = self.batches()
        for epoch in range(4):
            through.begin_epoch(epoch)
            np.testing.assert_array_equal(self.drawn(through), self.drawn(self.batches(0, epoch)))
        orders = {tuple(self.drawn(self.batches(seed, 3)) % 1000) for seed in range(3)}
        orders |= {tuple(self.drawn(self.batches(0, epoch)) % 1000) for epoch in range(4)}
        assert len(orders) == 6

    def test_a_view_is_drawn_for_each_row_in_each_epoch(self):
        second = []
        for epoch in range(20):
            found = self.drawn(self.batches(epoch=epoch))
            second.append(set(found[found >= 1000]))
        share = np.mean([len(rows) / len(self.rows) for rows in second])
        assert 0.4 < share < 0.6
        assert len(set.union(*second)) == len(self.rows)

    def test_without_a_seed_the_rows_stay_as_they_are(self):
        for epoch in range(2):
            found = self.drawn(self.batches(seed=None, epoch=epoch))
            np.testing.assert_array_equal(found, self.rows)


class TestFit:
    def test_it_learns(self):
        x, y = separable(200, seed=0)
        model, history = fit(recipe(units=32, epochs=6, batch_size=32), x, y, y)
        assert list(history.columns) == ["epoch", *fitting.CURVES]
        assert list(history["epoch"]) == [1, 2, 3, 4, 5, 6]
        last = history.iloc[-1]
        assert last["val_accuracy"] > 0.9
        loss, accuracy = model.evaluate(x[150:], y[150:], verbose=0)
        assert (last["val_loss"], last["val_accuracy"]) == pytest.approx((loss, accuracy), abs=1e-5)

    def test_the_best_epoch_may_come_before_the_last(self):
        """Validated on wrong labels, the network gets worse as it learns.

        What is told of the validation images is without augmentation and dropout.
        """
        x, y = separable(200, seed=0)
        wrong = np.roll(y, 1, axis=1)
        options = {"units": 32, "epochs": 4, "batch_size": 32, "dropout": 0.2}
        model, history = fit(recipe(**options, **AUGMENTED), x, y, wrong)
        network = without_augmentation(model)
        network.compile(loss="categorical_crossentropy")
        best = history["val_loss"].idxmin()
        assert best < 3
        found = network.evaluate(x[150:], wrong[150:], verbose=0)
        assert found == pytest.approx(history["val_loss"].iloc[-1], rel=1e-4)
        model.load_weights("work/best.weights.h5")
        network.set_weights(without_augmentation(model).get_weights())
        found = network.evaluate(x[150:], wrong[150:], verbose=0)
        assert found == pytest.approx(history["val_loss"][best], rel=1e-4)

    def test_a_diverged_training_is_one_line_and_binds_no_later_one(self):
        x, y = separable(200, seed=0)
        broken = np.full_like(y, np.nan)
        assert "diverged: its loss is nan" in message_of(fit, recipe(), x, broken, y)
        assert not Path("work").exists()
        assert len(fit(recipe(epochs=1), x, y, y)[1]) == 1


class TestFolds:
    def test_they_are_disjoint_and_cover_every_image(self):
        splits = [fold_rows(103, 5, fold, seed=0) for fold in range(1, 6)]
        validated = np.concatenate([validation for _, validation in splits])
        assert sorted(validated) == list(range(103))
        for rows, validation in splits:
            assert sorted([*rows, *validation]) == list(range(103))

    def test_they_are_shuffled_by_the_seed(self):
        first, again, other = (fold_rows(100, 5, 1, seed)[1] for seed in (0, 0, 1))
        assert list(first) == list(again)
        assert list(first) != list(other)
        assert list(first) != list(range(20))


def test_the_last_rows_validate():
    training, validation = last_rows(10, 0.2)
    assert (list(training), list(validation)) == (list(range(8)), [8, 9])
    for share in (1e-17, 1 - 1e-16):
        assert str(share) in message_of(last_rows, 10, share)


def test_prediction_goes_batch_by_batch():
    x, _ = separable(600, seed=0)
    model = lenet.build(16, 10)
    rows = np.arange(599, 10, -2)
    np.testing.assert_allclose(
        predict(model, x, rows), model.predict(x[rows], verbose=0), atol=1e-6
    )
    np.testing.assert_allclose(predict(model, x), model.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [7, 7, 7]),
        ({"seed": 0}, [0, 0, 0]),
        ({"seed_by_fold": True}, [7, 8, 9]),
        ({"seed": 3, "seed_by_fold": True}, [3, 4, 5]),
    ],
)
def test_a_fold_may_have_a_seed_of_its_own(options, expected):
    assert [cv_lenet.seed_of(recipe(**options), fold, 7) for fold in (1, 2, 3)] == expected


def make_project(folder: Path) -> None:
    """64 encoded training and 30 test images, and params for two folds of three epochs.

    The first fold's validation labels are wrong, so that its best epoch is not its last.
    """
    for split, rows, seed in (("train", 64, 0), ("test", 30, 1)):
        (folder / "data/encoded" / split).mkdir(parents=True)
        x, y = separable(rows, seed)
        if split == "train":
            wrong = fold_rows(rows, 2, 1, seed=0)[1]
            y[wrong] = np.roll(y[wrong], 1, axis=1)
        np.save(folder / f"data/encoded/{split}/images.npy", x)
        np.save(folder / f"data/encoded/{split}/labels.npy", y)
        files.write_json(folder / f"data/encoded/{split}/classes.json", CLASSES)
    files.write_yaml(folder / "metrics/hyperparameters.yaml", TUNED)
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    set_params(folder, {"cv.folds": [1, 2], "lenet": RECIPES, "export.recipe": "plain"})


def train(name: str) -> None:
    """One fold, as in a process of its own: Keras numbers layers from the start."""
    keras.utils.clear_session()
    cv_lenet.main(name, 1)


@pytest.fixture(scope="module")
def trained(request, tmp_path_factory) -> Path:
    """A project in which the first fold of a recipe was trained undisturbed."""
    folder = tmp_path_factory.mktemp("trained")
    make_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train(request.param)
    keras.config.set_dtype_policy("float32")
    return folder


def with_recipe(*names: str) -> pytest.MarkDecorator:
    """Give a test `trained` and the name of its recipe."""
    pairs = [(name, name) for name in names]
    return pytest.mark.parametrize(
        ("trained", "name"), pairs, indirect=["trained"], ids=names, scope="module"
    )


@with_recipe("plain", "every")
class TestOneFold:
    @pytest.mark.slow
    def test_killed_and_started_again_it_ends_in_the_same_bytes(
        self, trained, name, tmp_path, capsys
    ):
        """`before` and `after` an epoch's backup is put away, where `before` repeats the epoch.

        After the last epoch, all that is left is to write the folder.
        """
        make_project(tmp_path)
        kills = {
            "plain": [("before", 2, []), ("after", 2, [1]), (None, None, [3])],
            "every": [("after", 2, []), (None, None, [2])],
        }
        for moment, epoch, done in kills[name]:
            with killed(moment, epoch):
                train(name)
            lines = capsys.readouterr().out.splitlines()
            going_on = [f"cv_lenet@{name}-1: going on after epoch {e} of 3" for e in done]
            assert [line for line in lines if "going on" in line] == going_on
            assert Path(f"models/lenet/{name}-1").exists() == (moment is None)
        assert contents(tmp_path / "models") == contents(trained / "models")
        if name == "plain":
            # So the best epoch was found before a kill, and not again after it.
            training_json = files.read_json(tmp_path / f"models/lenet/{name}-1/training.json")
            assert training_json["best_epoch"] < 3

    def test_its_folder_says_how_it_was_trained(self, trained, name, monkeypatch):
        monkeypatch.chdir(trained)
        folder = Path(f"models/lenet/{name}-1")
        names = ["best.weights.h5", "history.csv", "model.keras", "training.json", "validation.npz"]
        assert sorted(path.name for path in folder.iterdir()) == names
        history = pd.read_csv(folder / "history.csv")
        assert list(history.columns) == ["epoch", *fitting.CURVES]
        assert list(history["epoch"]) == [1, 2, 3]
        model = load_model(folder / "model.keras")
        assert files.read_json(folder / "training.json") == {
            **RECIPES[name],
            **TUNED,
            "classes": CLASSES,
            "parameters": model.count_params(),
            "training_images": 32,
            "validation_images": 32,
            "best_epoch": history["val_loss"].idxmin() + 1,
        }
        validation = files.load_arrays(folder / "validation.npz")
        assert validation["probabilities"].shape == (32, 10)
        assert validation["probabilities"].dtype == np.float32
        y = files.load_array("data/encoded/train/labels.npy")
        rows = fold_rows(64, 2, 1, seed=0)[1]
        assert validation["labels"].dtype == np.uint8
        assert list(validation["labels"]) == list(y[rows].argmax(axis=1))
        assert list(validation["rows"]) == list(rows)
        kept = {path.name for path in Path(".work").iterdir() if any(path.iterdir())}
        assert kept <= {"keras", "tensorboard"}

    def test_the_saved_model_takes_raw_images_and_does_not_augment(
        self, trained, name, monkeypatch
    ):
        monkeypatch.chdir(trained)
        path = Path(f"models/lenet/{name}-1/model.keras")
        model = load_model(path)
        network = model.get_layer("lenet")
        assert not AUGMENTATION & {layer.name for layer in network.layers}
        assert b"Random" not in path.read_bytes()
        x = files.load_array("data/encoded/train/images.npy")
        x = np.asarray(x[fold_rows(64, 2, 1, seed=0)[1]])
        raw = x[..., 0] * 255
        views = [x]
        if name == "every":
            wide = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
            corners = ((0, 2), (4, 2), (2, 0), (2, 4))
            views += [wide[:, top : top + 28, left : left + 28] for top, left in corners]
            views += [view[:, :, ::-1] for view in views]
        answers = [network.predict(view, verbose=0) for view in views]
        assert all(np.abs(other - answers[0]).max() > 1e-4 for other in answers[1:])
        expected = np.mean(answers, axis=0)
        np.testing.assert_allclose(model.predict(raw, verbose=0), expected, atol=1e-2)
        encoded = on_encoded_images(model).predict(x, verbose=0)
        np.testing.assert_allclose(encoded, expected, atol=1e-6)
        saved = files.load_arrays(path.with_name("validation.npz"))["probabilities"]
        np.testing.assert_allclose(saved, expected, atol=1e-6)
        # No optimizer's state: the weights alone, and little besides.
        assert path.stat().st_size < 4 * model.count_params() + 100_000

    def test_its_evaluation_agrees(self, trained, name, monkeypatch):
        monkeypatch.chdir(trained)
        folder = Path(f"models/lenet/{name}-1")
        evaluate_lenet.main(name, 1)
        run = evaluation.load("lenet", name, 1)
        x, y = (np.load(f"data/encoded/test/{kind}.npy") for kind in ("images", "labels"))
        model = load_model(folder / "model.keras")
        for key, weights in (("test", None), ("best_epoch_test", folder / "best.weights.h5")):
            if weights:
                model.get_layer("lenet").load_weights(weights)
            found = on_encoded_images(model).predict(x, verbose=0)
            half = found.astype(np.float16)
            expected = evaluation.Predictions(half, y.argmax(axis=1))
            assert run.metrics[f"{key}_loss"] == pytest.approx(expected.loss, abs=1e-5)
            assert run.metrics[f"{key}_accuracy"] == expected.accuracy
            if not weights:
                np.testing.assert_allclose(run.test.probabilities, found, atol=1e-3)
        assert list(run.test.labels) == list(y.argmax(axis=1))

    def test_curves_to_watch_are_in_tensorboard(self, trained, name):
        history = pd.read_csv(trained / f"models/lenet/{name}-1/history.csv")
        for split, column in (("train", "accuracy"), ("validation", "val_accuracy")):
            curves = EventAccumulator(
                str(trained / f".work/tensorboard/cv_lenet@{name}-1" / split),
                size_guidance={"tensors": 0},
            ).Reload()
            events = curves.Tensors("epoch_accuracy")
            assert [event.step for event in events] == [0, 1, 2]
            values = [float(make_ndarray(event.tensor_proto)) for event in events]
            assert values == pytest.approx(list(history[column]), abs=1e-6)


@with_recipe("plain")
def test_another_seed_trains_otherwise_on_the_same_images(trained, name, tmp_path):
    make_project(tmp_path)
    train("reseeded")
    found, expected = (
        files.load_arrays(folder / "models/lenet" / recipe / "validation.npz")
        for folder, recipe in ((tmp_path, "reseeded-1"), (trained, f"{name}-1"))
    )
    assert list(found["rows"]) == list(expected["rows"])
    assert np.abs(found["probabilities"] - expected["probabilities"]).max() > 1e-3


def test_a_fold_that_is_not_there_is_named(tmp_path):
    make_project(tmp_path)
    assert "no fold 3" in message_of(cv_lenet.main, "plain", 3)
    set_params(tmp_path, {"cv.folds": list(range(1, 66))})
    assert "65 folds for 64" in message_of(cv_lenet.main, "plain", 3)


SETTINGS = "import stages.training.keras_setup as s; k = s.keras; print(k.config.floatx(), \
k.config.image_data_format(), k.config.max_epochs(), k.config.epsilon(), k.backend.backend())"


def with_environment(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(tmp_path), **variables}
    command = [sys.executable, "-c", SETTINGS]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_users_settings_of_keras_change_nothing(tmp_path):
    (tmp_path / ".keras").mkdir()
    own = {"floatx": "float16", "image_data_format": "channels_first", "epsilon": 0.1}
    files.write_json(tmp_path / ".keras/keras.json", own)
    done = with_environment(tmp_path, KERAS_MAX_EPOCHS="1", KERAS_HOME=str(tmp_path / ".keras"))
    assert done.stdout.split() == ["float32", "channels_last", "None", "1e-07", "tensorflow"]


def test_a_backend_that_cannot_train_is_one_line(tmp_path):
    done = with_environment(tmp_path, KERAS_BACKEND="numpy")
    assert done.returncode == 1
    assert done.stderr.startswith("error: KERAS_BACKEND is 'numpy'")
    assert done.stderr.count("\n") == 1
