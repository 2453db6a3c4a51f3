"""`tools/predict.py`: what it says of pictures, of folders, and of files that are neither.

How a picture is prepared is tested in `test_pictures.py`, foreign code in `test_outside.py`.
"""

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from stages.base.files import write_json
from stages.cli import InputError
from stages.networks.lenet import build
from stages.networks.raw_lenet import on_raw_images
from stages.results.evaluation import Predictions
from stages.sources import pictures
from stages.training.keras_setup import keras, seed_everything
from stages.training.saving import save_model
from tests.helpers import contents, run_python
from tools import predict

NAMES = ["shirt, long", "boot", "bag", "coat"]
FILES = [Path("some/A, B.JPG"), Path("some/b.png"), Path("some/c.webp")]


def lenet(seed: int, classes: int) -> keras.Model:
    """A small LeNet-5 of random weights that is sure of something."""
    seed_everything(seed)
    network = build(8, classes)
    network.get_layer("probabilities").kernel.assign(30 * keras.random.normal((84, classes)))
    return on_raw_images(network)


def linear() -> keras.Model:
    layers = keras.layers
    return keras.Sequential([keras.Input((28, 28)), layers.Flatten(), layers.Dense(len(NAMES))])


@pytest.fixture(scope="module")
def two_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for seed in (1, 2):
        save_model(lenet(seed, len(NAMES)), folder / f"{seed}.keras")
    return folder


@pytest.fixture(autouse=True)
def models(two_models, tmp_path, monkeypatch) -> Path:
    """The two models, in a folder that is entered, beside `FILES` and without params."""
    monkeypatch.chdir(tmp_path)
    Path("some").mkdir()
    for place, path in enumerate(FILES):
        image = Image.new("L", (90, 80), (255, 60, 0)[place])
        ImageDraw.Draw(image).ellipse((20 * place, 5, 70, 20 + 25 * place), fill=150)
        image.save(path)
    shutil.copytree(two_models, "models")
    return Path("models")


def by_keras(model: str, temperature: float = 1) -> np.ndarray:
    """The probabilities of `FILES`."""
    pixels = np.stack([pictures.read(path) for path in FILES])
    answer = keras.saving.load_model(model).predict(pixels, verbose=0)
    return Predictions(answer, np.empty(0)).at(temperature).probabilities


def assert_tells(capsys, model: str, probabilities: np.ndarray, names: list[str] = NAMES) -> None:
    """In the table of the folder with `FILES`."""
    assert predict.main([Path("some")], Path(model)) == 0
    _, *rows = csv.reader(io.StringIO(capsys.readouterr().out))
    assert [row[0] for row in rows] == [str(path) for path in FILES]
    for row, expected in zip(rows, probabilities, strict=True):
        best = np.argsort(-expected)[:3]
        assert row[1:-1:2] == [names[label] for label in best]
        np.testing.assert_allclose(np.array(row[2:-1:2], float), expected[best], atol=2e-6)


def test_files_get_a_line_each(capsys):
    write_json("models/calibration.json", {"classes": NAMES})
    assert predict.main(FILES, Path("models/1.keras")) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, path, row in zip(lines, FILES, by_keras("models/1.keras"), strict=True):
        best = np.argsort(-row)[:3]
        guesses = ", ".join(f"{NAMES[label]} {100 * row[label]:.1f} %" for label in best)
        assert line == f"{path}: {guesses}"


def test_a_folder_gets_a_table_by_the_mean_of_calibrated_models(capsys, monkeypatch):
    monkeypatch.setattr(predict, "BATCH", 2)
    write_json("models/calibration.json", {"classes": NAMES, "temperature": 2.5})
    each = [by_keras(f"models/{name}.keras", 2.5) for name in (1, 2)]
    assert abs(each[0] - each[1]).max() > 0.1
    assert_tells(capsys, "models", np.mean(each, axis=0))
    assert_tells(capsys, "models/2.keras", each[1])


def test_a_training_answers_by_its_model_and_the_names_it_was_trained_with(capsys):
    Path("models/1.keras").rename("models/model.keras")
    names = ["zero", "one", "two", "three"]
    write_json("models/1/training.json", {"classes": names, "units": 8})
    assert_tells(capsys, "models", by_keras("models/model.keras"), names)
    # Beside several exported models each has its own, and a calibration may be of earlier ones.
    write_json("models/calibration.json", {"classes": NAMES})
    write_json("models/2.json", {"classes": names})
    Path("models/1/training.json").unlink()
    assert_tells(capsys, "models/2.keras", by_keras("models/2.keras"), names)
    save_model(lenet(1, 2), Path("nameless.keras"))
    assert_tells(capsys, "nameless.keras", by_keras("nameless.keras"), ["0", "1"])


def test_what_it_is_not_sure_of_gets_a_warning(models, capsys):
    Image.new("L", (50, 40), 200).save("flat.png")
    for threshold in (0, 1):
        write_json("models/calibration.json", {"temperature": 9, "threshold": threshold})
        predict.main([FILES[1], Path("flat.png")], models)
        unlike, flat = capsys.readouterr().out.splitlines()
        assert ("; warning: unlike " in unlike) == threshold
        assert "; warning: no object " in flat


@pytest.mark.parametrize("asked", [None, True])
def test_what_the_network_sees_is_shown_framed_as_in_training_or_as_asked(models, asked):
    write_json("models/exported/1.json", {"framed": False})
    predict.main(FILES[1:], models, Path("new/seen.png"), asked)
    with Image.open("new/seen.png") as sheet:
        seen = np.asarray(sheet.resize((56, 28), Image.Resampling.NEAREST))
    wanted = np.hstack([pictures.read(path, bool(asked)) for path in FILES[1:]])
    np.testing.assert_array_equal(seen, wanted)


BAD_PICTURES = {
    "text.png": lambda path: path.write_text("This is no picture."),
    "empty": Path.mkdir,
    "nowhere.png": lambda path: None,
}
BAD_MODELS = {
    "nowhere.keras": lambda path: None,
    "empty": Path.mkdir,
    "picture.png": lambda path: shutil.copy(FILES[1], path),
    "scaled.keras": lambda path: save_model(build(8, len(NAMES)), path),
    "logits.keras": lambda path: save_model(linear(), path),
    "twelve.keras": lambda path: save_model(lenet(1, 12), path),
}


class TestRefusals:
    """One line each, an exit status of 1, and nothing is written."""

    def assert_refused(self, capsys, name: str, *arguments: Path) -> None:
        before = contents(Path())
        try:
            assert predict.main([arguments[0]], *arguments[1:]) == 1
            line = capsys.readouterr().err.removesuffix("\n")
        except InputError as error:
            line = str(error)
        assert name in line
        assert "\n" not in line
        assert capsys.readouterr().out == ""
        assert contents(Path()) == before

    @pytest.mark.parametrize("name", BAD_PICTURES)
    def test_a_picture(self, models, capsys, name):
        BAD_PICTURES[name](Path(name))
        self.assert_refused(capsys, name, Path(name), models)

    @pytest.mark.parametrize("name", BAD_MODELS)
    def test_a_model(self, capsys, name):
        BAD_MODELS[name](Path(name))
        write_json("training.json", {"classes": NAMES})
        self.assert_refused(capsys, name, FILES[1], Path(name))

    def test_the_others_are_answered(self, models, capsys):
        Path("some/below").mkdir()
        for name in ("notes.txt", ".hidden"):
            Path("some", name).touch()
        assert predict.main([Path("nowhere.png"), Path("some")], models) == 1
        printed = capsys.readouterr()
        assert len(printed.out.splitlines()) == 1 + len(FILES)
        for refused in ("nowhere.png", "some/below", "some/notes.txt"):
            assert f"predict: error: {refused} " in printed.err
        assert printed.err.count("\n") == 3


def test_a_mistake_is_reported_before_keras_is_imported():
    for package in ("keras", "tensorflow"):
        Path(f"{package}.py").write_text("raise SystemExit('imported')")
    ended = run_python(Path(), "-m", "tools.predict", "--model", "models", "nowhere.png")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("predict: error: nowhere.png ")
    assert ended.stderr.count("\n") == 1
