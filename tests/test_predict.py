"""`tools/predict.py`: what it makes of pictures of every kind, and of files that are none."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageOps

from stages.base.classes import FASHION_MNIST
from stages.base.files import write_json
from stages.networks.lenet import build
from stages.networks.raw_lenet import on_raw_images
from stages.results.evaluation import Predictions
from stages.training.keras_setup import keras, seed_everything
from stages.training.saving import load_model, save_model
from tests.helpers import contents, message_of
from tests.project import ROOT, set_params
from tools import draw_samples, predict

# An object that no turning and no mirroring leaves the same, 14 cells high and 10 wide.
OBJECT = np.zeros((14, 10), bool)
OBJECT[:, :4] = OBJECT[:4] = OBJECT[8:10, :7] = True
BRIGHT = 180
UPRIGHT = np.pad(np.kron(OBJECT, np.full((2, 2), BRIGHT)), ((0, 0), (4, 4)))


def picture(cell: int = 12, background: int = 255, margins=((3, 1), (2, 6))) -> Image.Image:
    """The object, `BRIGHT` darker than its background, or lighter if that is dark; mode L.

    Args:
        cell: the side of a cell in pixels.
        background: 0-255.
        margins: cells above and below, left and right.
    """
    cells = np.pad(OBJECT, margins)
    colour = background - BRIGHT if background > 127 else background + BRIGHT
    pixels = np.where(np.kron(cells, np.ones((cell, cell))), colour, background)
    return Image.fromarray(pixels.astype(np.uint8))


def in_16_bits(grey: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)


def transparent_ground(grey: Image.Image) -> Image.Image:
    """Black where it is transparent, which must not show."""
    colour = Image.merge("RGBA", [grey] * 3 + [grey.point(lambda value: 255 * (value < 255))])
    pixels = np.array(colour)
    pixels[pixels[..., 3] == 0] = 0
    return Image.fromarray(pixels)


def written(image: Image.Image, path: Path | str, **options) -> Path:
    image.save(path, **options)
    return Path(path)


def assert_alike(found: np.ndarray, expected: np.ndarray) -> None:
    """The same but for what resizing does to edges."""
    assert found.shape == (28, 28)
    assert found.dtype == np.uint8
    difference = abs(found.astype(int) - expected)
    assert difference.mean() < 4
    assert np.median(difference) == 0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two small LeNet-5 of random weights, and no calibration."""
    folder = tmp_path_factory.mktemp("models")
    for seed in (1, 2):
        seed_everything(seed)
        network = build(8)
        # Else its answers would all be near a tenth.
        network.get_layer("probabilities").kernel.assign(30 * keras.random.normal((84, 10)))
        save_model(on_raw_images(network), folder / f"{seed}.keras")
    return folder


@pytest.fixture(scope="module")
def model(models) -> Path:
    return models / "1.keras"


@pytest.fixture
def calibrated(models, project) -> Callable[[float, float], Path]:
    """Gives the folder of models with a calibration beside them."""

    def make(temperature: float, threshold: float) -> Path:
        folder = project / "calibrated"
        folder.mkdir()
        for path in models.iterdir():
            (folder / path.name).symlink_to(path)
        write_json(
            folder / "calibration.json", {"temperature": temperature, "threshold": threshold}
        )
        return folder

    return make


def probabilities_of(path: Path, *pictures: Path) -> np.ndarray:
    """By Keras alone."""
    pixels = np.stack([predict.prepare(Image.open(each)) for each in pictures])
    return keras.saving.load_model(path).predict(pixels, verbose=0)


def changed(model: Path, path: Path, **entries: bytes | None) -> Path:
    """A copy of `model`, stored, with other contents of its entries, or without them."""
    names = {"config": "config.json", "metadata": "metadata.json", "weights": "model.weights.h5"}
    with zipfile.ZipFile(model) as whole, zipfile.ZipFile(path, "w") as copy:
        for key, name in names.items():
            if (content := entries.get(key, whole.read(name))) is not None:
                copy.writestr(name, content)
    return path


class TestPrepare:
    @pytest.mark.parametrize("mode", ["L", "RGB"])
    def test_28x28_on_a_dark_ground_is_taken_as_it_is(self, mode):
        pixels = np.zeros((28, 28), np.uint8)
        pixels[3:9, 2:5] = np.arange(3, 12, 0.5).reshape(6, 3)  # within the tolerance, off centre
        found = predict.prepare(Image.fromarray(pixels).convert(mode))
        np.testing.assert_array_equal(found, pixels)

    @pytest.mark.parametrize(("background", "inverted"), [(127, False), (128, True)])
    def test_28x28_is_inverted_if_its_ground_is_over_127(self, background, inverted):
        pixels = np.full((28, 28), background, np.uint8)
        pixels[0, :20] = 255 - background  # an object at the border, which the median passes over
        expected = 255 - pixels if inverted else pixels
        np.testing.assert_array_equal(predict.prepare(Image.fromarray(pixels)), expected)

    @pytest.mark.parametrize("background", [0, 40, 230, 255])
    @pytest.mark.parametrize("cell", [2, 61])
    def test_every_ground_and_size_gives_the_same(self, cell, background):
        assert_alike(predict.prepare(picture(cell, background)), UPRIGHT)

    @pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "CMYK", "YCbCr", "I", "I;16"])
    def test_every_mode_gives_the_same(self, mode):
        image = in_16_bits(picture()) if mode.startswith("I") else picture().convert(mode)
        image = image.convert("I") if mode == "I" else image
        assert image.mode == mode
        assert_alike(predict.prepare(image), UPRIGHT)

    def test_a_transparent_ground_is_white(self):
        assert_alike(predict.prepare(transparent_ground(picture())), UPRIGHT)

    def test_a_transparent_ground_in_a_palette_is_white(self, tmp_path):
        image = picture(background=0).convert("P")
        background = image.getpixel((0, 0))
        path = written(image, tmp_path / "palette.png", transparency=background)
        expected = np.where(UPRIGHT, 255 - BRIGHT, 0)
        assert_alike(predict.read(path), expected)

    def test_black_and_white_in_one_bit(self):
        image = picture().point(lambda value: 255 * (value > 200)).convert("1")
        assert_alike(predict.prepare(image), np.where(UPRIGHT, 255, 0))

    def test_every_format_gives_the_same(self, tmp_path):
        suffixes = {kind: kind.lower() for kind in predict.FORMATS}
        suffixes |= {"JPEG2000": "jp2", "JPEG": "jpg"}
        for kind, suffix in suffixes.items():
            # Icons are square, and no larger than 256.
            image = picture(cell=10, margins=((3, 3), (5, 5))) if kind == "ICO" else picture()
            assert_alike(predict.read(written(image, tmp_path / f"picture.{suffix}")), UPRIGHT)

    def test_of_a_moving_picture_the_first_frame(self, tmp_path):
        later = [ImageOps.mirror(picture()), ImageOps.flip(picture())]
        path = tmp_path / "moving.gif"
        picture().save(path, save_all=True, append_images=later)
        assert_alike(predict.read(path), UPRIGHT)

    @pytest.mark.parametrize(
        ("orientation", "stored"),
        [
            (2, Image.Transpose.FLIP_LEFT_RIGHT),
            (3, Image.Transpose.ROTATE_180),
            (5, Image.Transpose.TRANSPOSE),
            (6, Image.Transpose.ROTATE_90),
        ],
    )
    def test_the_exif_orientation_is_followed(self, tmp_path, orientation, stored):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = picture().transpose(stored)
        path = written(image, tmp_path / "camera.jpg", exif=exif, quality=95)
        assert_alike(predict.read(path), UPRIGHT)

    @pytest.mark.parametrize("margins", [((5, 5), (50, 2)), ((0, 30), (3, 3))])
    def test_the_longer_side_is_28_and_the_object_centred(self, margins):
        upright = picture(margins=margins)
        tall, wide = predict.prepare(upright), predict.prepare(upright.rotate(90, expand=True))
        assert Image.fromarray(tall).getbbox() == (4, 0, 24, 28)
        assert Image.fromarray(wide).getbbox() == (0, 4, 28, 24)

    @pytest.mark.parametrize("noise", [13, 12])
    def test_what_is_near_the_ground_is_trimmed(self, noise):
        image = picture(background=0, margins=((6, 6), (6, 6)))
        image.putpixel((0, 0), noise)
        trimmed = predict.prepare(image)
        assert (abs(trimmed.astype(int) - UPRIGHT).mean() < 4) == (noise == 12)

    @pytest.mark.parametrize("size", [(1, 1), (20, 20), (5, 300)])
    @pytest.mark.parametrize("colour", [0, 90, 255])
    def test_one_colour_is_all_ground(self, size, colour):
        image = Image.new("L", size, colour)
        image.putpixel((0, 0), abs(colour - 9))  # within the tolerance
        np.testing.assert_array_equal(predict.prepare(image), np.zeros((28, 28)))

    def test_what_is_finer_than_a_pixel_is_averaged(self):
        stripes = np.zeros((300, 300), np.uint8)
        stripes[10:290:2, 10:290] = 200
        found = predict.prepare(Image.fromarray(stripes))
        np.testing.assert_allclose(found[2:-2, 2:-2], 100, atol=3)

    def test_a_thin_line_is_accepted(self):
        image = Image.new("L", (400, 100))
        image.paste(255, (10, 50, 390, 51))
        assert predict.has_object(predict.prepare(image))


class TestRefusals:
    """A test's own files have names that begin with bad, but for good.png."""

    @pytest.fixture(autouse=True)
    def _nothing_comes_of_it(self, project, capsys):
        picture().save("good.png")
        yield
        assert capsys.readouterr() == ("", "")
        left = {path.name for path in project.iterdir() if not path.name.startswith("bad")}
        assert left == {"good.png", "params.yaml"}

    def refusal(self, model: Path, *names: str) -> str:
        files = [Path(name) for name in names or ("good.png",)]
        return message_of(predict.main, files, model, Path("out.csv"), Path("out.png"))

    def test_no_picture(self, model):
        Path("bad.png").write_text("This is no picture.")
        assert self.refusal(model, "bad.png").startswith("bad.png is no picture of a kind known")

    def test_what_pillow_would_start_ghostscript_for(self, model):
        picture().save("bad.eps")
        assert self.refusal(model, "bad.eps").startswith("bad.eps is no picture of a kind known")

    @pytest.mark.parametrize("kind", ["png", "jpg", "gif", "bmp", "tiff", "webp"])
    def test_truncated(self, model, kind):
        content = written(picture(), f"bad.{kind}").read_bytes()
        Path(f"bad.{kind}").write_bytes(content[: len(content) // 2])
        assert f"bad.{kind}" in self.refusal(model, f"bad.{kind}")

    def test_whatever_pillow_raises(self, model, monkeypatch):
        def load(self):
            raise ZeroDivisionError

        monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
        assert "good.png cannot be read (ZeroDivisionError)" in self.refusal(model)

    def test_empty(self, model):
        Path("bad.png").touch()
        assert "bad.png is no picture" in self.refusal(model, "bad.png")

    @pytest.mark.parametrize("name", ["nowhere.png", "nowhere"])
    def test_missing(self, model, name):
        assert self.refusal(model, name) == f"{name} is missing; correct its name"

    def test_a_name_that_cannot_be(self, model):
        assert "(File name too long)" in self.refusal(model, "x" * 300)

    def test_a_pipe_is_not_waited_for(self, model):
        os.mkfifo("bad.png")
        assert self.refusal(model, "bad.png").startswith("bad.png is no ordinary file")

    def test_a_folder_without_pictures(self, model):
        Path("bad/bad.png").mkdir(parents=True)
        Path("bad/bad.txt").touch()
        assert "bad is a folder without pictures" in self.refusal(model, "bad")

    @pytest.mark.parametrize("limit", [30_000, 10_000])
    def test_too_many_pixels(self, model, monkeypatch, limit):
        """Pillow warns of what is over its limit, and raises an error at the double."""
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert picture().size == (216, 216)
        assert f"good.png has more than {limit:,} pixels" in self.refusal(model)

    def test_floating_point(self, model):
        Image.new("F", (40, 40), 0.5).save("bad.tiff")
        assert "bad.tiff: its pixels are floating-point numbers" in self.refusal(model, "bad.tiff")

    def test_all_are_bad(self, model):
        Path("bad.png").touch()
        with pytest.raises(predict.InputError) as caught:
            predict.main([Path("bad.png"), Path("nowhere.png")], model, Path("out.csv"))
        first, second = str(caught.value).splitlines()
        assert first.startswith("bad.png is no picture")
        assert second.startswith("nowhere.png is missing")

    @pytest.mark.parametrize(
        ("name", "stage"),
        [
            ("models/exported", "export"),
            ("models/exported/2.keras", "export"),
            ("models/lenet/study-5", "cv_lenet@study-5"),
            ("models/resnet/study/model.keras", "resnet@study"),
            ("./models/vgg/study/", "vgg@study"),
        ],
    )
    def test_a_missing_model_of_this_project(self, name, stage):
        message = self.refusal(Path(name))
        assert message.startswith(f"{Path(name)} is missing; `")
        assert f"`dvc repro {stage}`" in message
        assert "takes long" in message
        with (ROOT / "dvc.yaml").open() as file:
            assert stage.partition("@")[0] in yaml.safe_load(file)["stages"]

    @pytest.mark.parametrize(
        "name", ["models/vgg/other", "models/lenet/study-6", "models/exported/6.keras"]
    )
    def test_a_missing_model_of_nobody(self, name):
        expected = f"{name} is missing; correct its name, as in models/lenet/study-1"
        assert self.refusal(Path(name)) == expected

    def test_a_folder_without_models(self):
        Path("bad").mkdir()
        for name in ("bad.h5", ".unfinished-bad.keras"):
            (Path("bad") / name).touch()
        assert self.refusal(Path("bad")).startswith("bad has no .keras file in it")

    def test_one_bad_model_of_several(self, calibrated):
        folder = calibrated(1, 0).rename("bad")
        (folder / "bad.keras").write_text("no archive")
        assert self.refusal(folder).startswith("bad/bad.keras is no Keras model")

    @pytest.mark.parametrize("name", ["good.png", "bad.keras"])
    def test_no_model(self, name):
        Path("bad.keras").write_text("no archive")
        assert f"{name} is no Keras model" in self.refusal(Path(name))

    def test_a_model_in_keras_old_format_by_a_new_name(self):
        """Whose loader would not ask for safe mode."""
        keras.Sequential([keras.Input((28, 28)), keras.layers.Flatten()]).save("bad.h5")
        Path("bad.h5").rename("bad.keras")
        assert "bad.keras is no Keras model" in self.refusal(Path("bad.keras"))

    @pytest.mark.parametrize("config", [None, b"{", b"\xff", b"[" * 100_000])
    def test_a_model_without_a_configuration(self, model, config):
        bad = changed(model, Path("bad.keras"), config=config)
        assert "bad.keras is damaged" in self.refusal(bad)

    def test_a_model_without_its_weights(self, model):
        bad = changed(model, Path("bad.keras"), weights=None)
        assert "bad.keras is no model that Keras can load" in self.refusal(bad)

    def test_a_model_that_grows_without_end(self, model):
        with zipfile.ZipFile("bad.keras", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("config.json", b" " * 10_000_000)
        assert "bad.keras unpacks to 10 MB" in self.refusal(Path("bad.keras"))

    def test_a_model_of_scaled_images(self):
        save_model(build(8), "bad.keras")
        message = self.refusal(Path("bad.keras"))
        assert "bad.keras turns (None, 28, 28, 1) into (None, 10)" in message

    @pytest.mark.filterwarnings("ignore:You are saving a model")
    def test_a_model_that_does_not_know_its_shapes(self):
        keras.Sequential([keras.layers.Dense(10)]).save("bad.keras")
        assert "bad.keras turns None into None" in self.refusal(Path("bad.keras"))

    @pytest.mark.parametrize("bias", [0.0, float("nan")])
    def test_a_model_whose_numbers_are_no_probabilities(self, bias):
        layers = keras.layers
        last = layers.Dense(10, bias_initializer=keras.initializers.Constant(bias))
        stack = [keras.Input((28, 28)), layers.Flatten(), last]
        save_model(keras.Sequential(stack), "bad.keras")
        assert "bad.keras gives numbers that are no probabilities" in self.refusal(
            Path("bad.keras")
        )

    def test_a_model_that_fails_on_images(self):
        layers = keras.layers
        stack = [keras.Input((28, 28)), layers.Flatten(), layers.Embedding(2, 10)]
        save_model(
            keras.Sequential([*stack, layers.GlobalAveragePooling1D(), layers.Softmax()]),
            "bad.keras",
        )
        message = self.refusal(Path("bad.keras"))
        assert message.startswith("bad.keras gives n")
        if keras.config.backend() == "tensorflow":
            assert message.startswith("bad.keras gives no answer (")

    @pytest.mark.parametrize(
        "text",
        [
            "{",
            "[]",
            '{"temperature": 1}',
            '{"temperature": 0, "threshold": 0}',
            '{"temperature": 1e999, "threshold": 0}',
            '{"temperature": 1, "threshold": 2}',
        ],
    )
    def test_a_damaged_calibration(self, model, text):
        Path("bad").mkdir()
        Path("bad/bad.keras").symlink_to(model)
        calibration = Path("bad/calibration.json")
        calibration.write_text(text)
        assert self.refusal(Path("bad/bad.keras")).startswith(str(calibration))

    def test_no_project(self, model, monkeypatch):
        monkeypatch.chdir(model.parent)
        assert "params.yaml is missing" in self.refusal(model)

    @pytest.mark.parametrize("option", ["output", "show"])
    def test_a_target_of_another_kind(self, model, option):
        message = self.refusal_with(model, option, "other.txt")
        assert message.startswith(f"--{option} is other.txt")

    @pytest.mark.parametrize(("option", "name"), [("output", "bad.csv"), ("show", "bad.png")])
    def test_a_target_that_cannot_be_written(self, model, option, name):
        Path(name).mkdir()
        message = self.refusal_with(model, option, name)
        assert message.startswith(f"{name} cannot be written (Is a directory)")

    def test_a_picture_is_not_overwritten(self, model):
        before = Path("good.png").read_bytes()
        message = self.refusal_with(model, "show", "../project/good.png")
        assert "one of the pictures" in message
        assert Path("good.png").read_bytes() == before

    def refusal_with(self, model: Path, option: str, name: str) -> str:
        return message_of(lambda: predict.main([Path("good.png")], model, **{option: Path(name)}))


class TestFromTheShell:
    """What becomes of an answer on its way out."""

    @pytest.fixture
    def named_in_latin_1(self, project) -> Path:
        (project / "some").mkdir()
        path = os.fsencode(project / "some") + b"/caf\xe9.png"
        stream = io.BytesIO()
        picture().save(stream, "png")
        with open(path, "wb") as file:
            file.write(stream.getvalue())
        return Path(os.fsdecode(path))

    @pytest.mark.long
    def test_a_file_whose_name_is_no_text(self, named_in_latin_1, project, model):
        folder = named_in_latin_1.parent
        written(picture(), folder / "b.png")
        ended = run(project, "--model", str(model), "some")
        assert (ended.returncode, ended.stderr) == (0, "")
        names = [line.partition(",")[0] for line in ended.stdout.splitlines()]
        assert names == ["file", "some/b.png", r"some/caf\udce9.png"]
        predict.main([Path("some")], model, Path("out.csv"))
        assert Path("out.csv").read_text(encoding="utf-8") == ended.stdout

    @pytest.mark.parametrize(
        ("raised", "status", "line"),
        [
            ("KeyboardInterrupt", 130, "predict: interrupted\n"),
            ("MemoryError", 1, "predict: error: not enough memory; end other programs, or name"),
        ],
    )
    def test_what_ends_it_early(self, project, model, raised, status, line):
        """Raised where Keras would be imported, by a module that stands in for it."""
        (project / "keras.py").write_text(f"raise {raised}")
        (project / "tensorflow.py").write_text(f"raise {raised}")
        ended = run(project, "--model", str(model), str(ROOT / "docs/trouser.png"))
        assert (ended.returncode, ended.stdout) == (status, "")
        assert ended.stderr.startswith(line)
        assert len(ended.stderr.splitlines()) == 1

    @pytest.mark.long
    def test_nobody_reads_along(self, project, model):
        reader, writer = os.pipe()
        os.close(reader)
        ended = run(project, "--model", str(model), str(ROOT / "docs/trouser.png"), stdout=writer)
        os.close(writer)
        assert (ended.returncode, ended.stderr) == (141, "")


class TestForeignCode:
    """Neither `make predict`, nor a stage, nor Keras runs what a model's file brings along."""

    def assert_refused(self, path: Path, what: str) -> None:
        message = message_of(predict.main, [ROOT / "docs/trouser.png"], path)
        assert message.startswith(f"{path} has {what} in it")
        assert "is no model that Keras can load" in message_of(predict.load_model, path)
        with pytest.raises((TypeError, ValueError)):
            load_model(path)

    def test_a_lambda_layer(self, project):
        raw = keras.Input((28, 28))
        flat = keras.layers.Flatten()(keras.layers.Lambda(lambda x: x + 0.0)(raw))
        keras.Model(raw, keras.layers.Dense(10, "softmax")(flat)).save("bad.keras")
        self.assert_refused(Path("bad.keras"), "a Lambda layer")

    def test_a_custom_layer(self, project):
        class Mine(keras.layers.Layer):
            def call(self, inputs):
                return inputs

        raw = keras.Input((28, 28))
        flat = keras.layers.Flatten()(Mine()(raw))
        keras.Model(raw, keras.layers.Dense(10, "softmax")(flat)).save("bad.keras")
        self.assert_refused(Path("bad.keras"), "the custom object 'Mine'")

    @pytest.mark.parametrize(
        ("module", "name", "what"),
        [
            ("keras.layers", "Lambda", "a Lambda layer"),
            (None, "__lambda__", "a Lambda layer"),
            ("os", "system", "the custom object 'system'"),
            ("kerasy.layers", "Dense", "the custom object 'Dense'"),
            (None, "Dense", "the custom object 'Dense'"),
        ],
    )
    def test_an_object_from_elsewhere(self, model, project, module, name, what):
        with zipfile.ZipFile(model) as archive:
            config = json.loads(archive.read("config.json"))
        layer = config["config"]["layers"][-1]["config"]["layers"][-1]
        layer["config"]["activation"] = {
            "module": module,
            "class_name": name,
            "config": "touch run",
            "registered_name": "Mine>other",
        }
        bad = changed(model, Path("bad.keras"), config=json.dumps(config).encode())
        self.assert_refused(bad, what)
        assert not Path("run").exists()


class TestAnswers:
    @pytest.fixture
    def pictures(self, project) -> list[Path]:
        """Three in a folder that holds more, by name."""
        folder = project / "pictures"
        (folder / "below").mkdir(parents=True)
        for name in ("no_suffix", "notes.txt", "notes.pdf", "table.h5"):
            (folder / name).touch()
        picture().save(folder / "below" / "below.png")
        names = ["A, B.JPG", "b.png", "c.webp"]
        return [
            written(picture(background=background), Path("pictures") / name)
            for background, name in zip((0, 255, 60), names, strict=True)
        ]

    def assert_tells(
        self, table: str, probabilities: np.ndarray, paths: list[Path], warning: str = ""
    ) -> None:
        assert "\r" not in table
        header, *rows = csv.reader(io.StringIO(table))
        assert ",".join(header) == (
            "file,class_1,probability_1,class_2,probability_2,class_3,probability_3,warning"
        )
        assert [row[0] for row in rows] == [str(path) for path in paths]
        for row, expected in zip(rows, probabilities, strict=True):
            best = np.argsort(-expected)[:3]
            assert row[1:7:2] == [FASHION_MNIST[label] for label in best]
            found = [float(cell) for cell in row[2:7:2]]
            np.testing.assert_allclose(found, expected[best], atol=2e-6)
            assert row[7] == warning

    def test_files_get_a_line_each(self, pictures, model, capsys):
        predict.main(pictures, model)
        lines = capsys.readouterr().out.splitlines()
        assert [line.rpartition(":")[0] for line in lines] == [str(path) for path in pictures]
        row = probabilities_of(model, pictures[1])[0]
        a, b, c = (
            f"{FASHION_MNIST[label]} {row[label] * 100:.1f} %" for label in np.argsort(-row)[:3]
        )
        assert lines[1] == f"pictures/b.png: {a}, {b}, {c}"

    def test_a_folder_gets_a_table(self, pictures, model, capsys):
        predict.main([pictures[2], Path("pictures")], model)
        paths = [pictures[2], *pictures]
        self.assert_tells(capsys.readouterr().out, probabilities_of(model, *paths), paths)

    def test_the_output_gets_the_table(self, pictures, model, capsys):
        output = Path("results/of today.csv")
        predict.main(pictures, model, output)
        table = output.read_text(encoding="utf-8")
        self.assert_tells(table, probabilities_of(model, *pictures), pictures)
        assert capsys.readouterr().out == "predict: 3 pictures, results/of today.csv\n"
        assert list(output.parent.iterdir()) == [output]

    def test_batches_make_no_difference(self, pictures, model, monkeypatch, capsys):
        monkeypatch.setattr(predict, "BATCH", 2)
        predict.main([Path("pictures")], model)
        self.assert_tells(capsys.readouterr().out, probabilities_of(model, *pictures), pictures)

    def test_several_models_answer_with_their_mean(self, pictures, models, capsys):
        predict.main([Path("pictures")], models)
        each = [probabilities_of(path, *pictures) for path in models.iterdir()]
        assert len(each) == 2
        assert abs(each[0] - each[1]).max() > 0.1
        self.assert_tells(capsys.readouterr().out, np.mean(each, axis=0), pictures)

    def test_each_model_is_calibrated_before_the_mean(self, pictures, models, calibrated, capsys):
        predict.main([Path("pictures")], calibrated(2.5, 0))
        each = [
            Predictions(probabilities_of(path, *pictures), np.empty(0)).at(2.5).probabilities
            for path in models.iterdir()
        ]
        self.assert_tells(capsys.readouterr().out, np.mean(each, axis=0), pictures)

    def test_one_of_the_folder_is_calibrated_like_all(self, pictures, calibrated, capsys):
        model = calibrated(2.5, 0) / "2.keras"
        predict.main([Path("pictures")], model)
        of_it = Predictions(probabilities_of(model, *pictures), np.empty(0))
        self.assert_tells(capsys.readouterr().out, of_it.at(2.5).probabilities, pictures)

    def test_without_a_name_the_exported_models_answer(self, pictures, calibrated, project, capsys):
        Path("models").mkdir()
        as_folder = calibrated(1, 0)
        shutil.copytree(as_folder, "models/exported")
        # DVC leaves it there when there are fewer folds.
        shutil.copy(as_folder / "1.keras", "models/exported/3.keras")
        set_params(project, {"cv.folds": [1, 2]})
        predict.main(pictures)
        by_default = capsys.readouterr().out
        predict.main(pictures, as_folder)
        assert capsys.readouterr().out == by_default

    def test_an_exported_model_that_is_missing_is_named(self, pictures, calibrated, project):
        Path("models").mkdir()
        calibrated(1, 0).rename("models/exported")
        message = message_of(predict.main, pictures)
        assert message.startswith("models/exported/3.keras is missing; `git restore")

    def test_a_trainings_folder_answers_by_its_model(self, pictures, models, capsys):
        folder = Path("models/lenet/study-1")
        folder.mkdir(parents=True)
        for name, number in (("model", 1), ("other", 2)):
            (folder / f"{name}.keras").symlink_to(models / f"{number}.keras")
        predict.main([Path("pictures")], folder)
        expected = probabilities_of(models / "1.keras", *pictures)
        self.assert_tells(capsys.readouterr().out, expected, pictures)

    def test_a_training_goes_by_the_temperature_of_its_evaluation(self, pictures, models, capsys):
        folder = Path("models/vgg/study")
        folder.mkdir(parents=True)
        (folder / "model.keras").symlink_to(models / "1.keras")
        metrics = Path("metrics/vgg/study/metrics.json")
        metrics.parent.mkdir(parents=True)
        write_json(metrics, {"temperature": 3.0, "test_accuracy": 0.9})
        predict.main([Path("pictures")], folder)
        as_it_is = Predictions(probabilities_of(models / "1.keras", *pictures), np.empty(0))
        self.assert_tells(capsys.readouterr().out, as_it_is.at(3).probabilities, pictures)

    def test_classes_go_by_the_params_names(self, project, pictures, model, capsys):
        set_params(project, {"data.classes": [f"digit {number}" for number in range(10)]})
        predict.main(pictures[:1], model)
        assert capsys.readouterr().out.startswith("pictures/A, B.JPG: digit ")


class TestWarnings:
    @pytest.mark.parametrize(("above", "warns"), [(1e-4, True), (-1e-4, False)])
    def test_of_what_is_unlike_all_else(self, models, calibrated, project, capsys, above, warns):
        path = written(picture(), "some.png")
        each = [
            Predictions(probabilities_of(model, path), np.empty(0)).at(3).probabilities
            for model in models.iterdir()
        ]
        folder = calibrated(3, float(np.mean(each, axis=0).max()) + above)
        predict.main([path], folder)
        line = capsys.readouterr().out
        assert line.endswith(" %; warning: unlike anything it knows\n" if warns else " %\n")
        predict.main([path], folder, Path("out.csv"))
        row = Path("out.csv").read_text().splitlines()[1]
        assert row.rpartition(",")[2] == ("unlike anything it knows" if warns else "")

    @pytest.mark.parametrize(
        "image",
        [
            Image.new("L", (28, 28), 200),
            Image.new("RGB", (300, 200), "grey"),
            Image.new("RGBA", (50, 50)),
            Image.fromarray(np.pad(np.full((20, 20), 200, np.uint8), 20)),
        ],
        ids=["28x28", "a wall", "transparent", "a square that fills what is cut out"],
    )
    def test_of_what_has_no_object(self, model, project, image, capsys):
        predict.main([written(image, "flat.png")], model)
        assert capsys.readouterr().out.endswith(" %; warning: no object on it\n")

    def test_no_object_is_the_graver(self, calibrated, project, capsys):
        predict.main([written(Image.new("L", (9, 9)), "flat.png")], calibrated(1, 1))
        assert capsys.readouterr().out.endswith(" %; warning: no object on it\n")


class TestBadAmongGood:
    @pytest.fixture
    def folder(self, project) -> Path:
        folder = project / "some"
        folder.mkdir()
        for name in ("a.png", "c.png", "e.png"):
            picture().save(folder / name)
        (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:200])
        (folder / "d.png").symlink_to("nowhere")
        return Path("some")

    def complaints(self, *arguments) -> list[str]:
        with pytest.raises(predict.InputError) as caught:
            predict.main(*arguments)
        return [
            line.partition(" is ")[0].partition(" cannot ")[0]
            for line in str(caught.value).splitlines()
        ]

    def test_the_others_are_answered(self, folder, model, capsys):
        assert self.complaints([folder], model) == ["some/b.png", "some/d.png"]
        rows = capsys.readouterr().out.splitlines()[1:]
        assert [row.partition(",")[0] for row in rows] == [f"some/{x}.png" for x in "ace"]

    def test_in_files_too(self, folder, model, capsys):
        paths = [Path("nowhere"), folder / "a.png", folder / "b.png"]
        assert self.complaints(paths, model) == ["nowhere", "some/b.png"]
        assert len(capsys.readouterr().out.splitlines()) == 1

    def test_what_was_asked_for_is_written(self, folder, model, capsys):
        assert len(self.complaints([folder], model, Path("out.csv"), Path("out.png"))) == 2
        assert capsys.readouterr().out == "predict: 3 pictures, out.csv\n"
        assert len(Path("out.csv").read_text().splitlines()) == 4
        assert Path("out.png").exists()


class TestShow:
    def shown(self, model: Path, *paths: Path) -> np.ndarray:
        target = Path("shown/it.png")
        predict.main(list(paths), model, show=target)
        assert [path.name for path in target.parent.iterdir()] == ["it.png"]
        with Image.open(target) as image:
            assert image.mode == "L"
            return np.asarray(image)

    def test_one_picture_is_shown_as_the_network_sees_it(self, model, project):
        path = written(picture(), "some.png")
        shown = self.shown(model, path)
        assert shown.shape == (288, 288)
        np.testing.assert_array_equal(shown[4:284:10, 4:284:10], predict.read(path))
        np.testing.assert_array_equal(shown[13:284:10, 13:284:10], predict.read(path))
        assert set(shown[:4].flat) == {128}

    def test_several_are_shown_row_by_row(self, model, project):
        paths = [written(Image.new("L", (28, 28), shade), f"{shade}.png") for shade in (10, 20, 30)]
        shown = self.shown(model, *paths)
        cells = [[shown[4 + 284 * y, 4 + 284 * x] for x in (0, 1)] for y in (0, 1)]
        assert cells == [[10, 20], [30, 128]]

    @pytest.mark.parametrize(("count", "side"), [(1, 288), (1000, 1924), (5000, 2276)])
    def test_a_sheet_stays_of_a_size_to_look_at(self, count, side):
        assert predict.sheet(np.zeros((count, 28, 28), np.uint8)).width == side


def run(
    folder: Path, *arguments: str, stdout: int = subprocess.PIPE
) -> subprocess.CompletedProcess:
    # `keras_setup` set it in this process; for the new one it would be a wish to hear TensorFlow.
    environment = {key: os.environ[key] for key in os.environ if key != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, "-m", "tools.predict", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def test_a_bad_picture_is_told_of_before_keras_is_imported(project, model):
    for package in ("keras", "tensorflow"):
        (project / f"{package}.py").write_text("raise SystemExit('imported')")
    before = contents(project)
    ended = run(project, "--model", str(model), "--show", "out.png", "nowhere.png", "x.png")
    expected = "".join(
        f"predict: error: {name} is missing; correct its name\n"
        for name in ("nowhere.png", "x.png")
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", expected)
    assert contents(project) == before


def test_from_the_shell(project, models):
    boot = ROOT / "docs/ankle_boot.png"
    ended = run(project, "nowhere.png", str(boot), "--model", str(models), "--show", "out.png")
    assert ended.stdout.startswith(f"{boot}: ")
    assert ended.stderr == "predict: error: nowhere.png is missing; correct its name\n"
    assert ended.returncode == 1
    assert (project / "out.png").exists()


@pytest.mark.long
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_answer_that_finds_no_room(project, model):
    boot = ROOT / "docs/ankle_boot.png"
    with Path("/dev/full").open("w") as full:
        ended = run(project, str(boot), "--model", str(model), stdout=full)
    error = "predict: error: the answer cannot be written (No space left on device); make room\n"
    assert (ended.returncode, ended.stderr) == (1, error)


def test_the_sample_pictures_are_as_drawn(tmp_path, monkeypatch):
    """By their pixels: the bytes of a PNG file are also the affair of zlib's version."""
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    draw_samples.main()
    for name in ("ankle_boot.png", "trouser.png"):
        with Image.open(f"docs/{name}") as drawn, Image.open(ROOT / "docs" / name) as kept:
            assert drawn.mode == kept.mode == "RGB"
            np.testing.assert_array_equal(drawn, kept)
