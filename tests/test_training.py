"""Building, training and saving LeNet-5; what an interruption and a recipe's options change."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages import cv_lenet, evaluate_lenet, params
from stages.base import files
from stages.networks import lenet
from stages.networks.raw_lenet import AUGMENTATION, on_encoded_images, without_augmentation
from stages.params import LenetRecipe
from stages.results import evaluation
from stages.training import fitting
from stages.training.batches import Batches, fold_rows, last_rows
from stages.training.keras_setup import keras, seed_everything
from stages.training.saving import load_model
from tests.helpers import contents, message_of, run_python, write_encoded
from tests.killing import killed
from tests.project import ROOT, set_params

ENVIRONMENT = dict(os.environ)  # as the import of Keras has left it
TUNED = {"units": 16, "learning_rate": 0.1}
PLAIN = {"units": "tuned", "learning_rate": "tuned", "epochs": 3, "batch_size": 16}
EVERY_OPTION = {
    "flip": True,
    "shift": 2,
    "erasing": 0.5,
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
FOLDER = Path("models/lenet/every-1")
CLASSES = list("abcdefghij")
BUILD = ("batch_normalization", "dropout", "flip", "shift", "erasing")


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch, full_precision):
    monkeypatch.chdir(tmp_path)


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
        """By the table in the study."""
        model = lenet.build(248, 10)
        weights = [832, 0, 38_448, 0, 0, 1201 * 248, 249 * 84, 850]
        assert [layer.count_params() for layer in model.layers] == weights
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


class TestCompile:
    def test_the_studys_recipe_is_keras_adam_and_cross_entropy(self):
        """A key that is optional is not in it, and leaves Keras's own defaults."""
        study = params.load(ROOT / "params.yaml").lenet["study"]
        model = lenet.build(16, 10)
        fitting.compile_classifier(model, cv_lenet.resolved(study, TUNED), 48_000)
        adam = keras.optimizers.Adam(0.1, name=model.optimizer.name)
        assert model.optimizer.get_config() == adam.get_config()
        assert model.loss.get_config() == keras.losses.CategoricalCrossentropy().get_config()

    def test_options_reach_optimizer_and_loss(self):
        """100 images in batches of 32 are 4 steps an epoch; after the last one the rate is 0."""
        model = lenet.build(16, 10)
        options = {"weight_decay": 0.02, "label_smoothing": 0.1, "ema_momentum": 0.9}
        options |= {"schedule": "cosine", "epochs": 5, "batch_size": 32, "warmup_epochs": 1}
        fitting.compile_classifier(model, recipe(**options), 100)
        config = model.optimizer.get_config()
        assert (config["weight_decay"], config["ema_momentum"]) == (0.02, 0.9)
        assert config["use_ema"]
        assert model.loss.label_smoothing == 0.1
        for step, rate in {0: 0, 2: 0.05, 4: 0.1, 12: 0.05, 20: 0}.items():
            model.optimizer.iterations.assign(step)
            assert float(model.optimizer.learning_rate) == pytest.approx(rate, abs=1e-7)


class TestBatches:
    """Each row holds its own number, and 1,000 more in the second view."""

    def drawn(self, seed: int | None, epoch: int) -> np.ndarray:
        """What an epoch's batches of the rows 3 to 39 hold, one after another."""
        views = [np.arange(50, dtype=np.float16)[:, np.newaxis] + add for add in (0, 1000)]
        labels = np.arange(50)[:, np.newaxis] * np.ones(10, np.float32)
        batches = Batches(views, labels, np.arange(3, 40), 8, seed)
        batches.begin_epoch(epoch)
        pairs = [batches[number] for number in range(len(batches))]
        for x, y in pairs:
            np.testing.assert_array_equal(x[:, 0] % 1000, y[:, 0])
        return np.concatenate([x[:, 0] for x, _ in pairs])

    def test_an_epoch_has_every_row_once_in_an_order_by_seed_and_epoch(self):
        orders = {(s, e): self.drawn(s, e) % 1000 for s in range(2) for e in range(3)}
        for (seed, epoch), order in orders.items():
            assert sorted(order) == list(range(3, 40))
            np.testing.assert_array_equal(order, self.drawn(seed, epoch) % 1000)
        assert len({tuple(order) for order in orders.values()}) == len(orders)
        np.testing.assert_array_equal(self.drawn(None, 1), np.arange(3, 40))

    def test_a_view_is_drawn_for_each_row_in_each_epoch(self):
        second = [set(rows[rows >= 1000]) for rows in (self.drawn(0, e) for e in range(20))]
        assert 0.4 < np.mean([len(rows) for rows in second]) / 37 < 0.6
        assert len(set.union(*second)) == 37


class TestFit:
    def test_the_best_epoch_may_come_before_the_last(self):
        """Validated on wrong labels, the network gets worse as it learns.

        What is told of the validation images is without dropout.
        """
        x, y = separable(200, seed=0)
        wrong = np.roll(y, 1, axis=1)
        options = {"units": 32, "learning_rate": 0.01, "epochs": 4, "dropout": 0.2}
        model, history = fit(recipe(**options), x, y, wrong)
        best = history["val_loss"].idxmin()
        assert best < 3
        for epoch in (3, best):
            loss = np.mean(keras.losses.categorical_crossentropy(wrong[150:], model(x[150:])))
            assert loss == pytest.approx(history["val_loss"][epoch], rel=1e-4)
            model.load_weights("work/best.weights.h5")

    def test_a_diverged_training_is_one_line_and_leaves_nothing_to_go_on_from(self):
        x, y = separable(200, seed=0)
        broken = np.full_like(y, np.nan)
        assert "diverged: its loss is nan" in message_of(fit, recipe(), x, broken, y)
        assert not Path("work").exists()


def test_folds_are_disjoint_shuffled_by_the_seed_and_cover_every_image():
    splits = [fold_rows(103, 5, fold, seed=0) for fold in range(1, 6)]
    assert sorted(np.concatenate([validation for _, validation in splits])) == list(range(103))
    for rows, validation in splits:
        assert sorted([*rows, *validation]) == list(range(103))
    first = list(splits[0][1])
    assert first == list(fold_rows(103, 5, 1, seed=0)[1])
    assert first not in (list(fold_rows(103, 5, 1, seed=1)[1]), list(range(21)))


def test_the_last_rows_validate():
    training, validation = last_rows(10, 0.2)
    assert (list(training), list(validation)) == (list(range(8)), [8, 9])
    for share in (1e-17, 1 - 1e-16):
        assert str(share) in message_of(last_rows, 10, share)


def make_project(folder: Path) -> None:
    """64 encoded training images, no test set, and params for two folds of three epochs.

    The first fold's validation labels are wrong, so that its best epoch is not its last.
    """
    x, y = separable(64, seed=0)
    wrong = fold_rows(64, 2, 1, seed=0)[1]
    y[wrong] = np.roll(y[wrong], 1, axis=1)
    write_encoded(folder / "data/encoded/train", x, y, CLASSES)
    files.write_yaml(folder / "metrics/hyperparameters.yaml", TUNED)
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    recipes = {"every": PLAIN | EVERY_OPTION}
    set_params(folder, {"cv.folds": [1, 2], "lenet": recipes, "export.recipe": "every"})


def train() -> None:
    """One fold, as in a process of its own: Keras numbers layers from the start."""
    keras.utils.clear_session()
    cv_lenet.main("every", 1)


def test_keras_does_not_import_what_it_does_not_need(tmp_path):
    code = "import sys; from stages.training.keras_setup import keras; print(*sys.modules)"
    modules = run_python(tmp_path, "-c", code).stdout.split()
    assert "keras" in modules
    assert not {"matplotlib", "pandas", "sklearn"} & set(modules)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A project in which the first fold was trained undisturbed."""
    folder = tmp_path_factory.mktemp("trained")
    make_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train()
    keras.config.set_dtype_policy("float32")
    return folder


class TestOneFold:
    """With every option; the demo trains the study's recipe."""

    @pytest.mark.kills
    @pytest.mark.leaks
    @pytest.mark.slow
    def test_killed_and_started_again_it_ends_in_the_same_bytes(self, trained, tmp_path, capsys):
        """`before` and `after` an epoch's backup is put away, where `before` repeats the epoch.

        After the last epoch, all that is left is to write the folder.
        """
        make_project(tmp_path)
        for moment, epoch, done in [("before", 2, []), ("after", 2, [1]), (None, None, [3])]:
            with killed(moment, epoch):
                train()
            lines = capsys.readouterr().out.splitlines()
            going_on = [f"cv_lenet@every-1: going on after epoch {e} of 3" for e in done]
            assert [line for line in lines if "going on" in line] == going_on
            assert FOLDER.exists() == (moment is None)
        assert contents(tmp_path / "models") == contents(trained / "models")
        # So the best epoch was found before a kill, and not again after it.
        assert files.read_json(FOLDER / "training.json")["best_epoch"] < 3

    def test_its_folder_says_how_it_was_trained(self, trained, monkeypatch):
        monkeypatch.chdir(trained)
        history = pd.read_csv(FOLDER / "history.csv")
        assert list(history.columns) == ["epoch", *fitting.CURVES]
        assert list(history["epoch"]) == [1, 2, 3]
        assert files.read_json(FOLDER / "training.json") == {
            **(PLAIN | EVERY_OPTION | TUNED),
            "classes": CLASSES,
            "parameters": load_model(FOLDER / "model.keras").count_params(),
            "training_images": 32,
            "validation_images": 32,
            "best_epoch": history["val_loss"].idxmin() + 1,
        }
        validation = files.load_arrays(FOLDER / "validation.npz")
        y = files.load_array("data/encoded/train/labels.npy")
        rows = fold_rows(64, 2, 1, seed=0)[1]
        assert list(validation["labels"]) == list(y[rows].argmax(axis=1))
        assert list(validation["rows"]) == list(rows)

    def test_the_saved_model_takes_raw_images_and_does_not_augment(self, trained, monkeypatch):
        """It answers with the mean for an image, shifted by two pixels, and mirrored."""
        monkeypatch.chdir(trained)
        model = load_model(FOLDER / "model.keras")
        network = model.get_layer("lenet")
        assert not AUGMENTATION & {layer.name for layer in network.layers}
        assert b"Random" not in (FOLDER / "model.keras").read_bytes()
        x = files.load_array("data/encoded/train/images.npy")
        x = np.asarray(x[fold_rows(64, 2, 1, seed=0)[1]])
        wide = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
        corners = ((2, 2), (0, 2), (4, 2), (2, 0), (2, 4))
        views = [wide[:, top : top + 28, left : left + 28] for top, left in corners]
        views += [view[:, :, ::-1] for view in views]
        answers = [network.predict(view, verbose=0) for view in views]
        assert all(np.abs(other - answers[0]).max() > 1e-4 for other in answers[1:])
        expected = np.mean(answers, axis=0)
        np.testing.assert_allclose(model.predict(x[..., 0] * 255, verbose=0), expected, atol=1e-2)
        encoded = on_encoded_images(model).predict(x, verbose=0)
        np.testing.assert_allclose(encoded, expected, atol=1e-6)
        saved = files.load_arrays(FOLDER / "validation.npz")["probabilities"]
        np.testing.assert_allclose(saved, expected, atol=1e-6)

    def test_its_evaluation_agrees(self, trained, monkeypatch):
        monkeypatch.chdir(trained)
        x, y = separable(30, seed=1)
        write_encoded(Path("data/encoded/test"), x, y, CLASSES)
        evaluate_lenet.main("every", 1)
        run = evaluation.load("lenet", "every", 1)
        model = load_model(FOLDER / "model.keras")
        for key, weights in (("test", None), ("best_epoch_test", FOLDER / "best.weights.h5")):
            if weights:
                model.get_layer("lenet").load_weights(weights)
            answer = on_encoded_images(model).predict(x, verbose=0).astype(np.float16)
            expected = evaluation.Predictions(answer, y.argmax(axis=1))
            assert run.metrics[f"{key}_loss"] == pytest.approx(expected.loss, abs=1e-5)
            assert run.metrics[f"{key}_accuracy"] == expected.accuracy


def test_a_fold_that_is_not_there_is_named(tmp_path):
    make_project(tmp_path)
    assert "no fold 3" in message_of(cv_lenet.main, "every", 3)
    set_params(tmp_path, {"cv.folds": list(range(1, 66))})
    assert "65 folds for 64" in message_of(cv_lenet.main, "every", 3)


def test_the_users_settings_of_keras_change_nothing():
    """Those that `conftest.py` makes."""
    found = keras.config
    assert (found.floatx(), found.image_data_format()) == ("float32", "channels_last")
    assert (found.max_epochs(), found.epsilon(), found.backend()) == (None, 1e-7, "tensorflow")
    assert "ONEDNN_MAX_CPU_ISA" not in ENVIRONMENT


def test_a_backend_that_cannot_train_is_one_line():
    done = run_python(ROOT, "-c", "import stages.training.keras_setup", KERAS_BACKEND="numpy")
    assert done.returncode == 1
    assert done.stderr.startswith("error: KERAS_BACKEND is 'numpy'")
    assert done.stderr.count("\n") == 1
