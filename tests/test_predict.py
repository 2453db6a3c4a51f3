"""`stages/predict.py`: what it makes of pictures of every kind, and of files that are none."""

import csv
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from docs import draw
from stages import ingest, predict
from stages.common import lenet
from stages.common.images import FASHION
from stages.common.keras_setup import keras, seed_everything
from stages.common.models import save_model
from tools.demo import set_params
from tests.helpers import message_of, run_stage
from tests.imports import ROOT

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


def written(image: Image.Image, path: Path, **options) -> Path:
    image.save(path, **options)
    return path


def assert_alike(found: np.ndarray, expected: np.ndarray) -> None:
    """The same but for what resizing does to edges."""
    assert found.shape == (28, 28)
    assert found.dtype == np.uint8
    difference = abs(found.astype(int) - expected)
    assert difference.mean() < 4
    assert np.median(difference) == 0


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    seed_everything(0)
    path = tmp_path_factory.mktemp("model") / "lenet.keras"
    save_model(lenet.with_raw_images(lenet.build(8, 0.001)), path)
    return path


def said_by(model: Path, *paths: Path) -> list[list[tuple[str, float]]]:
    """The three likeliest classes of each picture, by Keras alone."""
    pixels = np.stack([predict.prepare(Image.open(path)) for path in paths])
    probabilities = keras.saving.load_model(model).predict(pixels, verbose=0)
    return [
        sorted(zip(FASHION, row, strict=True), key=lambda guess: -guess[1])[:3]
        for row in probabilities
    ]


class TestPrepare:
    def test_28x28_on_a_dark_ground_is_taken_as_it_is(self):
        for pixels in ingest.digits("test").images[:20]:
            for image in (Image.fromarray(pixels), Image.fromarray(pixels).convert("RGB")):
                np.testing.assert_array_equal(predict.prepare(image), pixels)

    def test_28x28_is_not_moved(self):
        pixels = np.zeros((28, 28), np.uint8)
        pixels[3:9, 2:5] = 9  # within the tolerance, and off the centre
        np.testing.assert_array_equal(predict.prepare(Image.fromarray(pixels)), pixels)

    def test_28x28_on_a_light_ground_is_inverted(self):
        for pixels in ingest.digits("test").images[:20]:
            inverted = Image.fromarray(255 - pixels)
            np.testing.assert_array_equal(predict.prepare(inverted), pixels)

    @pytest.mark.parametrize(("background", "inverted"), [(127, False), (128, True)])
    def test_the_ground_is_light_over_127(self, background, inverted):
        pixels = np.full((28, 28), background, np.uint8)
        pixels[0, :20] = 255 - background  # an object at the border, which the median passes over
        expected = 255 - pixels if inverted else pixels
        np.testing.assert_array_equal(predict.prepare(Image.fromarray(pixels)), expected)

    @pytest.mark.parametrize("background", [0, 40, 230, 255])
    @pytest.mark.parametrize("cell", [2, 3, 12, 61])
    def test_every_ground_and_size_gives_the_same(self, cell, background):
        assert_alike(predict.prepare(picture(cell, background)), UPRIGHT)

    @pytest.mark.parametrize("mode", ["P", "RGB", "RGBA", "LA", "CMYK", "YCbCr", "I", "I;16"])
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

    @pytest.mark.parametrize("kind", ["png", "gif", "bmp", "tiff", "webp", "jpg"])
    def test_every_format_gives_the_same(self, tmp_path, kind):
        assert_alike(predict.read(written(picture(), tmp_path / f"picture.{kind}")), UPRIGHT)

    def test_of_a_moving_picture_the_first_frame(self, tmp_path):
        later = [ImageOps.mirror(picture()), ImageOps.flip(picture())]
        path = tmp_path / "moving.gif"
        picture().save(path, save_all=True, append_images=later)
        assert_alike(predict.read(path), UPRIGHT)

    @pytest.mark.parametrize(
        ("orientation", "stored"),
        [
            (1, None),
            (2, Image.Transpose.FLIP_LEFT_RIGHT),
            (3, Image.Transpose.ROTATE_180),
            (4, Image.Transpose.FLIP_TOP_BOTTOM),
            (5, Image.Transpose.TRANSPOSE),
            (6, Image.Transpose.ROTATE_90),
            (7, Image.Transpose.TRANSVERSE),
            (8, Image.Transpose.ROTATE_270),
        ],
    )
    def test_the_exif_orientation_is_followed(self, tmp_path, orientation, stored):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image = picture() if stored is None else picture().transpose(stored)
        path = written(image, tmp_path / "camera.jpg", exif=exif, quality=95)
        assert_alike(predict.read(path), UPRIGHT)

    @pytest.mark.parametrize("margins", [((5, 5), (50, 2)), ((0, 30), (3, 3)), ((1, 1), (1, 1))])
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

    @pytest.mark.parametrize("size", [(1, 1), (5, 300), (300, 300)])
    @pytest.mark.parametrize("colour", [0, 90, 128, 255])
    def test_one_colour_is_all_ground(self, size, colour):
        prepared = predict.prepare(Image.new("L", size, colour))
        np.testing.assert_array_equal(prepared, np.zeros((28, 28)))

    def test_what_is_finer_than_a_pixel_is_averaged(self):
        stripes = np.zeros((300, 300), np.uint8)
        stripes[10:290:2, 10:290] = 200
        np.testing.assert_allclose(
            predict.prepare(Image.fromarray(stripes))[2:-2, 2:-2], 100, atol=3
        )

    def test_a_thin_line_is_accepted(self):
        image = Image.new("L", (400, 100))
        image.paste(255, (10, 50, 390, 51))
        assert predict.prepare(image).shape == (28, 28)


class TestRefusals:
    @pytest.fixture(autouse=True)
    def _nothing_comes_of_it(self, project, capsys):
        """A test's own files have names that begin with bad, but for good.png."""
        picture().save("good.png")
        yield
        assert capsys.readouterr() == ("", "")
        left = {path.name for path in project.rglob("*") if not path.name.startswith("bad")}
        assert left == {"good.png", "params.yaml"}

    def refusal(self, model: Path, *names: str) -> str:
        return message_of(predict.main, [Path(name) for name in names], model, Path("out.csv"))

    def test_no_picture(self, model):
        Path("bad.png").write_text("This is no picture.")
        assert "bad.png is no picture" in self.refusal(model, "good.png", "bad.png")

    @pytest.mark.parametrize("kind", ["png", "jpg", "gif", "bmp", "tiff", "webp"])
    def test_truncated(self, model, kind):
        content = written(picture(), Path(f"bad.{kind}")).read_bytes()
        Path(f"bad.{kind}").write_bytes(content[: len(content) // 2])
        assert f"bad.{kind}" in self.refusal(model, f"bad.{kind}")

    def test_empty(self, model):
        Path("bad.png").touch()
        assert "bad.png is no picture" in self.refusal(model, "bad.png")

    def test_missing(self, model):
        assert "nowhere.png is missing" in self.refusal(model, "good.png", "nowhere.png")

    def test_a_folder_without_pictures(self, model):
        Path("bad").mkdir()
        Path("bad/bad.txt").touch()
        assert "bad is a folder without pictures" in self.refusal(model, "bad")

    @pytest.mark.parametrize("limit", [30_000, 10_000])
    def test_too_many_pixels(self, model, monkeypatch, limit):
        """Pillow warns of what is over its limit, and raises an error at the double."""
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        assert picture().size == (216, 216)
        assert f"good.png has more than {limit:,} pixels" in self.refusal(model, "good.png")

    def test_floating_point(self, model):
        Image.new("F", (40, 40), 0.5).save("bad.tiff")
        assert "bad.tiff: its pixels are floating-point numbers" in self.refusal(model, "bad.tiff")

    def test_of_several_the_first(self, model):
        Path("bad1.png").touch()
        Path("bad2.png").touch()
        message = self.refusal(model, "good.png", "bad2.png", "nowhere.png", "bad1.png")
        assert message.startswith("bad2.png")

    def test_a_missing_model(self):
        of_git, of_dvc = predict.MODEL, Path("models/vgg/study.keras")
        assert f"{of_git} is missing; `git restore`" in self.refusal(of_git, "good.png")
        assert f"{of_dvc} is missing; `dvc pull`" in self.refusal(of_dvc, "good.png")

    @pytest.mark.parametrize("name", ["good.png", "bad.keras", "."])
    def test_no_model(self, name):
        Path("bad.keras").write_text("no archive")
        assert "is no Keras model" in self.refusal(Path(name), "good.png")

    def test_a_model_without_its_weights(self, model):
        with zipfile.ZipFile(model) as whole, zipfile.ZipFile("bad.keras", "w") as part:
            part.writestr("config.json", whole.read("config.json"))
            part.writestr("metadata.json", whole.read("metadata.json"))
        assert "no model that Keras can load" in self.refusal(Path("bad.keras"), "good.png")

    def test_a_model_of_scaled_images(self):
        save_model(lenet.build(8, 0.001), "bad.keras")
        message = self.refusal(Path("bad.keras"), "good.png")
        assert "bad.keras turns (None, 28, 28, 1) into (None, 10)" in message

    @pytest.mark.filterwarnings("ignore:You are saving a model")
    def test_a_model_that_does_not_know_its_shapes(self):
        keras.Sequential([keras.layers.Dense(10)]).save("bad.keras")
        assert "bad.keras turns None into None" in self.refusal(Path("bad.keras"), "good.png")

    def test_no_project(self, model, monkeypatch):
        monkeypatch.chdir(model.parent)
        assert "params.yaml is missing" in self.refusal(model, "good.png")

    def test_an_output_that_is_no_table(self, model):
        message = message_of(predict.main, [Path("good.png")], model, Path("other.png"))
        assert "other.png" in message

    def test_an_output_that_cannot_be_written(self, model):
        Path("bad.csv").mkdir()
        message = message_of(predict.main, [Path("good.png")], model, Path("bad.csv"))
        assert message.startswith("bad.csv cannot be written (Is a directory)")


class TestAnswers:
    @pytest.fixture
    def pictures(self, project) -> list[Path]:
        """Three in a folder that holds more, by name."""
        folder = project / "pictures"
        (folder / "below").mkdir(parents=True)
        for name in ("no_suffix", "notes.txt", "notes.pdf"):  # Pillow writes PDF and cannot read it
            (folder / name).touch()
        picture().save(folder / "below" / "below.png")
        names = ["A, B.JPG", "b.png", "c.webp"]
        return [
            written(picture(background=background), Path("pictures") / name)
            for background, name in zip((0, 255, 60), names, strict=True)
        ]

    def assert_tells(self, table: str, model: Path, paths: list[Path]) -> None:
        assert "\r" not in table
        header, *rows = csv.reader(io.StringIO(table))
        assert ",".join(header) == (
            "file,class_1,probability_1,class_2,probability_2,class_3,probability_3"
        )
        assert [row[0] for row in rows] == [str(path) for path in paths]
        for row, expected in zip(rows, said_by(model, *paths), strict=True):
            assert row[1::2] == [name for name, _ in expected]
            np.testing.assert_allclose(
                [float(cell) for cell in row[2::2]], [p for _, p in expected], atol=2e-6
            )

    def test_a_file_gets_a_line(self, pictures, model, capsys):
        predict.main(pictures[1:2], model)
        (a, p), (b, q), (c, r) = said_by(model, pictures[1])[0]
        expected = f"{a} {p * 100:.1f} %, {b} {q * 100:.1f} %, {c} {r * 100:.1f} %"
        assert capsys.readouterr() == (f"pictures/b.png: {expected}\n", "")

    def test_files_get_a_line_each(self, pictures, model, capsys):
        predict.main(pictures, model)
        lines = capsys.readouterr().out.splitlines()
        assert [line.rpartition(":")[0] for line in lines] == [str(path) for path in pictures]

    def test_a_folder_gets_a_table(self, pictures, model, capsys):
        predict.main([Path("pictures")], model)
        self.assert_tells(capsys.readouterr().out, model, pictures)

    def test_a_folder_among_files(self, pictures, model, capsys):
        predict.main([pictures[2], Path("pictures")], model)
        self.assert_tells(capsys.readouterr().out, model, [pictures[2], *pictures])

    def test_the_output_gets_the_table(self, pictures, model, capsys):
        output = Path("results/of today.csv")
        predict.main(pictures, model, output)
        self.assert_tells(output.read_text(encoding="utf-8"), model, pictures)
        assert capsys.readouterr().out == "predict: 3 pictures, results/of today.csv\n"
        assert list(output.parent.iterdir()) == [output]

    def test_an_output_stays_if_a_picture_is_bad(self, pictures, model):
        output = Path("out.csv")
        output.write_text("before")
        message_of(predict.main, [*pictures, Path("nowhere.png")], model, output)
        assert output.read_text() == "before"

    def test_batches_make_no_difference(self, pictures, model, monkeypatch, capsys):
        monkeypatch.setattr(predict, "BATCH", 2)
        predict.main([Path("pictures")], model)
        self.assert_tells(capsys.readouterr().out, model, pictures)

    def test_digits_go_by_their_names(self, project, pictures, model, capsys):
        set_params(project, {"data.source": "digits"})
        predict.main(pictures[:1], model)
        assert capsys.readouterr().out.startswith("pictures/A, B.JPG: digit ")


def test_a_bad_picture_is_told_of_before_keras_is_imported(project, model):
    for package in ("keras", "tensorflow"):
        (project / f"{package}.py").write_text("raise SystemExit('imported')")
    ended = run_stage(project, "predict", "--model", str(model), "nowhere.png")
    expected = "predict: error: nowhere.png is missing; correct its name\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", expected)


@pytest.mark.slow
def test_from_the_shell(project, model, monkeypatch):
    # `keras_setup` set it in this process; for the new one it would be a wish to hear TensorFlow.
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL")
    boot = ROOT / "docs/ankle_boot.png"
    ended = run_stage(project, "predict", str(boot), "--model", str(model))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"{boot}: ")


def test_the_sample_pictures_are_as_drawn(tmp_path, monkeypatch):
    """By their pixels: the bytes of a PNG file are also the affair of zlib's version."""
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path)
    draw.main()
    for name in ("ankle_boot.png", "trouser.png"):
        with Image.open(f"docs/{name}") as drawn, Image.open(ROOT / "docs" / name) as kept:
            assert drawn.mode == kept.mode == "RGB"
            np.testing.assert_array_equal(drawn, kept)
