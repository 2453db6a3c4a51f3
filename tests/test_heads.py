"""Heads on frozen features: their layers, their statistics, an interruption, the evaluation."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages import encode, evaluate_head, features, params, train_head, weights
from stages.base import files
from stages.base.images import ImageSet
from stages.networks import heads, views
from stages.params import HeadRecipe
from stages.results import evaluation
from stages.training import fitting
from stages.training.batches import fold_rows, last_rows
from stages.training.keras_setup import keras
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
}
CLASSES = ("left", "right", "neither")
ONE_SPLIT, FOLDS = {"validation_split": 0.2}, {"cross_validated": True}
EVERY_OPTION = {"standardise": True, "input_dropout": 0.2, "dropout": 0.3, "ema_momentum": 0.9}

pytestmark = pytest.mark.usefixtures("full_precision")


def recipe(**options) -> HeadRecipe:
    return HeadRecipe(**PLAIN, **ONE_SPLIT, **options)


class TestHead:
    def test_without_options_it_has_the_studys_layers(self):
        settings = params.load(ROOT / "params.yaml")
        expected = {"resnet": [128, 10], "vgg": [4096, 4096, 10]}
        for network, units in expected.items():
            head = heads.build_head((2, 3), 10, getattr(settings, network)["study"], "head_1")
            flatten, *dense = head.layers
            assert isinstance(flatten, keras.layers.Flatten)
            assert [layer.units for layer in dense] == units
            activations = [layer.activation.__name__ for layer in dense]
            assert activations == ["relu"] * (len(units) - 1) + ["softmax"]

    def test_options_add_their_layers(self):
        statistics = (np.zeros(12, np.float32), np.ones(12, np.float32))
        head = heads.build_head((2, 2, 3), 10, recipe(**EVERY_OPTION), "head_1", statistics)
        assert [layer.name for layer in head.layers] == [
            *("flatten", "standardised", "input_dropout"),
            *("dense_1", "dropout_1", "dense_2", "dropout_2", "probabilities"),
        ]
        assert head.get_layer("input_dropout").rate == 0.2
        assert head.get_layer("dropout_2").rate == 0.3


def train(name: str) -> None:
    """The heads, as in a process of its own: Keras numbers layers from the start.

    A training switches deterministic operations on, and a model compiled later gets no XLA.
    """
    # Not at the top, where it would load Keras before `keras_setup` has prepared it.
    from tensorflow.python.framework.config import disable_op_determinism

    keras.utils.clear_session()
    disable_op_determinism()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heads, "ROWS_AT_A_TIME", 7)  # means and variances come a part at a time
        train_head.main("vgg", name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A project with features of 60 images of three classes and their mirror images, and heads."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "data/clean").mkdir(parents=True)
    for split, rows in (("train", 60), ("test", 20)):
        random = random_image_set(rows, seed=rows)
        ImageSet(random.images, random.labels % 3, CLASSES).save(folder / "data/clean", split)
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    both_sides = {"backbone": "vgg16", "input_size": 32, "preprocessing": "imagenet"}
    both_sides |= {"pooling": "avg", "mirrored": True}
    changes = {
        "cv.folds": [1, 2],
        "backbone.vgg16": {"weights": "random", "layer": "block1_pool"},
        "features.both-sides": both_sides,
        "vgg": {"every": PLAIN | EVERY_OPTION | FOLDS, "one": PLAIN | ONE_SPLIT},
    }
    set_params(folder, changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        encode.main()
        weights.main("vgg16")
        features.main("both-sides")
        train("every")
        train("one")
    return folder


@pytest.mark.kills
@pytest.mark.leaks
@pytest.mark.slow
def test_killed_in_its_second_fold_it_goes_on_there(trained, tmp_path, monkeypatch, capsys):
    """To the same bytes; before, it is killed after the first fold's last epoch.

    Two folds of three epochs; an epoch whose backup was not put away is trained again.
    """
    encoded, computed = "data/encoded/train", "data/features/both-sides/train"
    for name in (encoded, computed, "models/pretrained", "params.yaml"):  # and no test set
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).symlink_to(trained / name)
    monkeypatch.chdir(tmp_path)
    kills = [  # the moment, and the epochs after which each fold then goes on
        ("after", 3, {}),
        ("before", 2, {1: 3}),
        (None, None, {1: 3, 2: 1}),
    ]
    for moment, epoch, done in kills:
        with killed(moment, epoch):
            train("every")
        lines = [line for line in capsys.readouterr().out.splitlines() if "going on" in line]
        expected = [f"vgg@every-{fold}: going on after epoch {e} of 3" for fold, e in done.items()]
        assert lines == expected
        assert Path("models/vgg/every").exists() == (moment is None)
    assert contents(tmp_path / "models/vgg/every") == contents(trained / "models/vgg/every")


def validation(folder: Path) -> tuple[dict, np.ndarray, np.ndarray]:
    """What a training says of itself, and its validation images' rows and probabilities."""
    arrays = files.load_arrays(folder / "validation.npz")
    return files.read_json(folder / "training.json"), arrays["rows"], arrays["probabilities"]


def test_there_is_a_training_for_each_of_lenets_folds(trained, monkeypatch):
    monkeypatch.chdir(trained)
    model = load_model(Path("models/vgg/every/model.keras"))
    arrays = views.load("both-sides", "train")
    probabilities = []
    for fold in (1, 2):
        folder = Path(f"models/vgg/every/{fold}")
        history = pd.read_csv(folder / "history.csv")
        assert list(history.columns) == ["epoch", *fitting.CURVES]
        training, rows, found = validation(folder)
        assert training == {
            **PLAIN,
            **EVERY_OPTION,
            **FOLDS,
            "classes": list(CLASSES),
            "parameters": 65 * 16 + 17 * 16 + 17 * 3,
            "training_images": 30,
            "validation_images": 30,
            "best_epoch": history["val_loss"].idxmin() + 1,
        }
        assert list(rows) == list(fold_rows(60, 2, fold, seed=0)[1])
        head = model.get_layer(f"head_{fold}")
        np.testing.assert_allclose(found, views.mean_prediction(head, arrays, rows), atol=1e-6)
        probabilities.append(views.mean_prediction(head, arrays))
    assert np.abs(probabilities[0] - probabilities[1]).max() > 1e-3
    assert not list(Path(".work/vgg@every").iterdir())


def test_without_the_key_there_is_one_training(trained, monkeypatch):
    monkeypatch.chdir(trained)
    assert sorted(path.name for path in Path("models/vgg/one").iterdir()) == ["1", "model.keras"]
    training, rows, _ = validation(Path("models/vgg/one/1"))
    assert list(rows) == list(last_rows(60, 0.2)[1])
    assert training["validation_split"] == 0.2


def test_it_is_standardised_by_its_training_images_of_both_sides(trained, monkeypatch):
    monkeypatch.chdir(trained)
    layer = load_model(Path("models/vgg/every/model.keras")).get_layer("head_2").layers[1]
    rows, _ = fold_rows(60, 2, 2, seed=0)
    both = [np.load(f"data/features/both-sides/train/{name}.npy") for name in views.NAMES]
    seen = np.concatenate([array[rows] for array in both]).astype(np.float64)
    mean, variance = np.asarray(layer.mean).ravel(), np.asarray(layer.variance).ravel()
    varies = seen.var(axis=0) > 1e-6
    assert varies.sum() > 10
    np.testing.assert_allclose(mean, seen.mean(axis=0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance[varies], seen.var(axis=0)[varies], rtol=1e-3)
    assert not np.allclose(mean, np.concatenate(both).mean(axis=0), rtol=1e-5, atol=1e-6)


def test_the_whole_model_is_the_mean_of_the_evaluated_heads(trained, monkeypatch):
    """`model.keras` takes raw images, and looks at both sides of them."""
    monkeypatch.chdir(trained)
    evaluate_head.main("vgg", "every")
    folder = Path("models/vgg/every")
    runs = [evaluation.load("vgg", "every", fold) for fold in (1, 2)]
    whole = load_model(folder / "model.keras")
    raw, labels = (np.load(f"data/clean/test_{kind}.npy") for kind in ("images", "labels"))
    answer = whole.predict(raw, verbose=0)
    mean = np.mean([run.test.probabilities.astype(float) for run in runs], axis=0)
    np.testing.assert_allclose(mean, answer, atol=2e-3)
    np.testing.assert_allclose(whole.predict(raw[:, :, ::-1], verbose=0), answer, atol=1e-5)
    for run in runs:
        np.testing.assert_array_equal(run.test.labels, labels)
        assert run.metrics["best_epoch_test_loss"] != run.metrics["test_loss"]


def test_what_is_not_there_is_named(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").symlink_to(trained / "params.yaml")
    assert "data/features/both-sides/train" in message_of(train_head.main, "vgg", "every")
    assert "vgg.study is missing" in message_of(train_head.main, "vgg", "study")
    assert "no head 'lenet'" in message_of(train_head.main, "lenet", "study")
