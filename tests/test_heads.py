"""Heads on frozen features: their layers, their statistics, an interruption, the evaluation."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tensorflow.python.framework.config import disable_op_determinism

from stages import encode, evaluate_head, features, params, vgg, weights
from stages.base import files
from stages.networks import heads, views
from stages.params import HeadRecipe
from stages.results import evaluation
from stages.training import fitting
from stages.training.keras_setup import keras, seed_everything
from stages.training.saving import load_model
from tests.helpers import contents, message_of, random_image_set
from tests.killing import killed
from tests.project import ROOT, set_params

PLAIN = {
    "features": "both-sides",
    "dense_units": 16,
    "dense_layers": 2,
    "learning_rate": 0.01,
    "epochs": 3,
    "batch_size": 16,
    "validation_split": 0.2,
}
EVERY_OPTION = {"standardise": True, "input_dropout": 0.2, "dropout": 0.3, "ema_momentum": 0.9}


@pytest.fixture(autouse=True)
def full_precision():
    yield
    keras.config.set_dtype_policy("float32")


def recipe(**options) -> HeadRecipe:
    return HeadRecipe(**PLAIN, **options)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="XLA is asked for there")
@pytest.mark.parametrize("key", ["dropout", "input_dropout"])
def test_xla_compiles_the_studys_heads_and_none_with_dropout(key):
    """With dropout it was seven times as slow."""
    assert heads.fuses(recipe()) is True
    assert heads.fuses(recipe(**{key: 0.1})) == "auto"


class TestHead:
    def test_without_options_it_has_the_studys_layers(self):
        settings = params.load(ROOT / "params.yaml")
        resnet = heads.build_head((2, 2, 3), settings.resnet["study"], "resnet")
        assert [(type(layer).__name__, layer.output.shape[1:]) for layer in resnet.layers] == [
            ("Flatten", (12,)),
            ("Dense", (128,)),
            ("Dense", (10,)),
        ]
        vgg16 = heads.build_head((8,), settings.vgg["study"], "vgg")
        assert [(type(layer).__name__, layer.output.shape[1:]) for layer in vgg16.layers] == [
            ("Flatten", (8,)),
            ("Dense", (4096,)),
            ("Dense", (4096,)),
            ("Dense", (10,)),
        ]
        for head in (resnet, vgg16):
            activations = [layer.activation.__name__ for layer in head.layers[1:]]
            assert activations == ["relu"] * (len(activations) - 1) + ["softmax"]

    def test_options_add_their_layers(self):
        statistics = (np.zeros(12, np.float32), np.ones(12, np.float32))
        head = heads.build_head((2, 2, 3), recipe(**EVERY_OPTION), "vgg", statistics)
        assert [layer.name for layer in head.layers] == [
            *("flatten", "standardised", "input_dropout"),
            *("dense_1", "dropout_1", "dense_2", "dropout_2", "probabilities"),
        ]
        assert head.get_layer("input_dropout").rate == 0.2
        assert head.get_layer("dropout_2").rate == 0.3

    def test_standardised_features_have_mean_0_and_variance_1(self, monkeypatch):
        """Over all arrays, a part at a time; a feature that never changes is only shifted."""
        monkeypatch.setattr(heads, "ROWS_AT_A_TIME", 7)
        random = np.random.default_rng(0)
        arrays = [random.normal(5, 3, (50, 2, 3)).astype(np.float16) for _ in range(2)]
        for array in arrays:
            array[:, 1, 2] = 4.5
        rows = np.arange(40)
        statistics = heads.mean_and_variance(arrays, rows)
        seen = np.concatenate([array[rows] for array in arrays]).reshape(80, 6).astype(np.float64)
        np.testing.assert_allclose(statistics[0], seen.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(statistics[1][:5], seen.var(axis=0)[:5], rtol=1e-5)
        head = heads.build_head((2, 3), recipe(), "vgg", statistics)
        standardise = keras.Model(head.inputs[0], head.get_layer("standardised").output)
        found = np.asarray(standardise(seen.reshape(80, 2, 3).astype(np.float32)))
        np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(found.std(axis=0), [1, 1, 1, 1, 1, 0], atol=1e-5)
        # Another value in a feature that never changed is not blown up.
        np.testing.assert_allclose(standardise(np.full((1, 2, 3), 5.5, np.float32))[0, 5], 1)

    def test_rows_beyond_the_given_ones_do_not_count(self):
        random = np.random.default_rng(0)
        array = random.normal(size=(50, 6)).astype(np.float32)
        before = heads.mean_and_variance([array], np.arange(40))
        array[40:] += 100
        after = heads.mean_and_variance([array], np.arange(40))
        np.testing.assert_array_equal(before, after)


def test_the_mean_is_over_the_views_probabilities():
    seed_everything(0)
    head = heads.build_head((4,), recipe(), "vgg")
    arrays = [np.random.default_rng(seed).random((9, 4)).astype(np.float16) for seed in (0, 1)]
    rows = np.array([7, 2, 5])
    each = [head.predict(array[rows].astype(np.float32), verbose=0) for array in arrays]
    assert not np.allclose(*each)
    found = views.mean_prediction(head, arrays, rows)
    np.testing.assert_allclose(found, (each[0] + each[1]) / 2, atol=1e-6)
    found = views.mean_prediction(head, arrays[:1])
    np.testing.assert_allclose(found[rows], each[0], atol=1e-6)


def train(name: str) -> None:
    """A head, as in a process of its own: XLA, and Keras numbers layers from the start.

    A training switches deterministic operations on, and a model compiled later gets no XLA.
    """
    keras.utils.clear_session()
    disable_op_determinism()
    vgg.main(name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A project with features of 60 images and their mirror images, and a head trained on them."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "data/clean").mkdir(parents=True)
    random_image_set(60, seed=1).save(folder / "data/clean", "train")
    random_image_set(20, seed=2).save(folder / "data/clean", "test")
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    both_sides = {"backbone": "vgg16", "input_size": 32, "preprocessing": "imagenet"}
    both_sides |= {"pooling": "avg", "mirrored": True}
    changes = {
        "backbone.vgg16": {"weights": "random", "layer": "block1_pool"},
        "features.both-sides": both_sides,
        "vgg": {"every": PLAIN | EVERY_OPTION},
    }
    set_params(folder, changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        encode.main()
        weights.main("vgg16")
        features.main("both-sides")
        train("every")
    return folder


@pytest.mark.slow
def test_killed_and_started_again_it_ends_in_the_same_bytes(trained, tmp_path, monkeypatch, capsys):
    """`before` and `after` an epoch's backup is put away, where `before` repeats the epoch.

    After the last epoch, all that is left is to write the folder.
    """
    for name in ("data", "params.yaml"):
        (tmp_path / name).symlink_to(trained / name)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/pretrained").symlink_to(trained / "models/pretrained")
    monkeypatch.chdir(tmp_path)
    for moment, epoch, done in [("before", 2, []), ("after", 3, [1]), (None, None, [3])]:
        with killed(moment, epoch):
            train("every")
        lines = capsys.readouterr().out.splitlines()
        going_on = [f"vgg@every: going on after epoch {e} of 3" for e in done]
        assert [line for line in lines if "going on" in line] == going_on
        assert Path("models/vgg/every").exists() == (moment is None)
    assert contents(tmp_path / "models/vgg") == contents(trained / "models/vgg")


@pytest.mark.parametrize("share", [1e-17, 1 - 1e-16])
def test_a_split_that_leaves_nothing_is_refused(trained, tmp_path, monkeypatch, share):
    shutil.copy(trained / "params.yaml", tmp_path)
    (tmp_path / "data").symlink_to(trained / "data")
    monkeypatch.chdir(tmp_path)
    set_params(tmp_path, {"vgg.every.validation_split": share})
    message = message_of(train, "every")
    assert message.startswith(f"params.yaml: vgg.every.validation_split is {share}, which leaves ")


def test_its_folder_says_how_it_was_trained(trained, monkeypatch):
    monkeypatch.chdir(trained)
    folder = Path("models/vgg/every")
    history = pd.read_csv(folder / "history.csv")
    assert list(history.columns) == ["epoch", *fitting.CURVES]
    assert files.read_json(folder / "training.json") == {
        **PLAIN,
        **EVERY_OPTION,
        "parameters": 65 * 16 + 17 * 16 + 17 * 10,
        "training_images": 48,
        "validation_images": 12,
        "best_epoch": history["val_loss"].idxmin() + 1,
    }
    validation = files.load_arrays(folder / "validation.npz")
    labels = np.load("data/encoded/train/labels.npy")
    assert list(validation["labels"]) == list(labels[48:].argmax(axis=1))
    assert list(validation["rows"]) == list(range(48, 60))
    network = load_model(folder / "model.keras").get_layer("vgg")
    found = views.mean_prediction(network, views.load("both-sides", "train"), np.arange(48, 60))
    np.testing.assert_allclose(validation["probabilities"], found, atol=1e-6)


def test_it_is_standardised_by_its_training_images_of_both_sides(trained, monkeypatch):
    monkeypatch.chdir(trained)
    layer = load_model(Path("models/vgg/every/model.keras")).get_layer("vgg").layers[1]
    both = [np.load(f"data/features/both-sides/train/{name}.npy") for name in views.NAMES]
    seen = np.concatenate([array[:48] for array in both]).astype(np.float64)
    everything = np.concatenate(both)
    found = np.asarray(layer.mean).ravel(), np.asarray(layer.variance).ravel()
    varies = seen.var(axis=0) > 1e-6
    assert varies.sum() > 10
    np.testing.assert_allclose(found[0], seen.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[1][varies], seen.var(axis=0)[varies], rtol=1e-3)
    assert not np.allclose(found[0], everything.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_evaluated_on_features_it_says_what_the_whole_network_says(trained, monkeypatch, capsys):
    """`model.keras` takes the raw images, and looks at both sides of them."""
    monkeypatch.chdir(trained)
    evaluate_head.main("vgg", "every")
    assert capsys.readouterr().out.startswith("evaluate_vgg@every: test accuracy ")
    run = evaluation.load("vgg/every")
    folder = Path("models/vgg/every")
    whole = load_model(folder / "model.keras")
    raw = np.load("data/clean/test_images.npy")
    labels = np.load("data/clean/test_labels.npy")
    found = whole.predict(raw, verbose=0)
    np.testing.assert_allclose(run.test.probabilities, found, atol=2e-3)
    np.testing.assert_allclose(whole.predict(raw[:, :, ::-1], verbose=0), found, atol=1e-5)
    np.testing.assert_array_equal(run.test.labels, labels)
    whole.get_layer("vgg").load_weights(folder / "best.weights.h5")
    best = evaluation.Predictions(whole.predict(raw, verbose=0), labels)
    assert run.metrics["best_epoch_test_loss"] == pytest.approx(best.loss, abs=1e-3)
    assert run.metrics["best_epoch_test_loss"] != run.metrics["test_loss"]


def test_features_that_are_not_there_are_named(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").symlink_to(trained / "params.yaml")
    message = message_of(vgg.main, "every")
    path = "data/features/both-sides/train/features.npy"
    assert message == f"{path} is missing; `dvc repro` runs the stage that writes it"
    assert message_of(vgg.main, "study").startswith("params.yaml: vgg.study is missing; vgg has ")
