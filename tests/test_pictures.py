"""`stages/sources/pictures.py`: pictures of every kind, and files that are none."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from stages.sources import pictures
from tests.helpers import message_of

# An object that no turning and no mirroring leaves the same, 14 cells high and 10 wide.
OBJECT = np.zeros((14, 10), bool)
OBJECT[:, :4] = OBJECT[:4] = OBJECT[8:10, :7] = True
BRIGHT = 180
UPRIGHT = np.pad(np.kron(OBJECT, np.full((2, 2), BRIGHT)), ((0, 0), (4, 4)))


def picture(cell: int = 12, ground: int = 255, margins=((3, 1), (2, 6))) -> Image.Image:
    """The object, `BRIGHT` darker than its ground, or lighter if that is dark; mode L.

    Args:
        cell: the side of a cell in pixels.
        ground: 0-255.
        margins: cells above and below, left and right.
    """
    cells = np.pad(OBJECT, margins)
    colour = ground - BRIGHT if ground > 127 else ground + BRIGHT
    pixels = np.where(np.kron(cells, np.ones((cell, cell))), colour, ground)
    return Image.fromarray(pixels.astype(np.uint8))


def written(image: Image.Image, path: Path | str, **options) -> Path:
    image.save(path, **options)
    return Path(path)


def assert_alike(prepared: np.ndarray, expected: np.ndarray) -> None:
    """The same but for what resizing does to edges."""
    assert prepared.shape == (28, 28)
    assert prepared.dtype == np.uint8
    difference = abs(prepared.astype(int) - expected)
    assert difference.mean() < 4
    assert np.median(difference) == 0


@pytest.mark.parametrize("framed", [True, False])
def test_28x28_on_a_dark_ground_is_taken_as_it_is(framed):
    pixels = np.zeros((28, 28), np.uint8)
    pixels[3:9, 2:5] = np.arange(3, 12, 0.5).reshape(6, 3)  # within the tolerance, off centre
    found = pictures.prepare(Image.fromarray(pixels), framed)
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("framed", [True, False])
@pytest.mark.parametrize(("ground", "inverted"), [(127, False), (128, True)])
def test_28x28_is_inverted_if_its_ground_is_over_127(ground, inverted, framed):
    pixels = np.full((28, 28), ground, np.uint8)
    pixels[0, :20] = 255 - ground  # an object at the border, which the median passes over
    expected = 255 - pixels if inverted else pixels
    np.testing.assert_array_equal(pictures.prepare(Image.fromarray(pixels), framed), expected)


@pytest.mark.parametrize("ground", [0, 40, 230, 255])
@pytest.mark.parametrize("cell", [2, 61])
def test_every_ground_and_size_gives_the_same(cell, ground):
    assert_alike(pictures.prepare(picture(cell, ground)), UPRIGHT)


@pytest.mark.parametrize("ground", [0, 255])
@pytest.mark.parametrize("cell", [4, 20])
def test_without_framing_an_object_stays_where_it_is(cell, ground):
    image = picture(cell, ground, margins=((8, 6), (10, 8)))
    expected = BRIGHT * np.pad(OBJECT, ((8, 6), (10, 8)))
    assert_alike(pictures.prepare(image, framed=False), expected)


def test_without_framing_the_longer_side_is_28_and_the_ground_goes_on():
    wide = pictures.prepare(Image.new("L", (280, 140), 200), framed=False)
    np.testing.assert_array_equal(wide, np.full((28, 28), 55))


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "CMYK", "YCbCr"])
def test_every_mode_gives_the_same(mode):
    assert_alike(pictures.prepare(picture().convert(mode)), UPRIGHT)


@pytest.mark.parametrize(("dtype", "scale"), [("u2", 257), ("i4", 257), ("u2", 1), ("i4", 1)])
def test_whole_numbers_of_16_and_32_bits(tmp_path, dtype, scale):
    image = Image.fromarray(np.asarray(picture()).astype(dtype) * scale)
    assert image.mode.startswith("I")
    assert_alike(pictures.read(written(image, tmp_path / "whole.tiff")), UPRIGHT)


def test_a_transparent_ground_is_white(tmp_path):
    grey = picture()
    pixels = np.array(Image.merge("RGBA", [grey] * 3 + [grey.point(lambda at: 255 * (at < 255))]))
    pixels[pixels[..., 3] == 0] = 0  # black, which must not show
    assert_alike(pictures.prepare(Image.fromarray(pixels)), UPRIGHT)

    palette = picture(ground=0).convert("P")
    path = written(palette, tmp_path / "palette.png", transparency=palette.getpixel((0, 0)))
    assert_alike(pictures.read(path), np.where(UPRIGHT, 255 - BRIGHT, 0))


def test_black_and_white_in_one_bit():
    image = picture().point(lambda value: 255 * (value > 200)).convert("1")
    assert_alike(pictures.prepare(image), np.where(UPRIGHT, 255, 0))


def test_every_format_gives_the_same(tmp_path):
    suffixes = {kind: kind.lower() for kind in pictures.FORMATS}
    suffixes |= {"JPEG2000": "jp2", "JPEG": "jpg"}
    for kind, suffix in suffixes.items():
        # Icons are square, and no larger than 256.
        image = picture(cell=10, margins=((3, 3), (5, 5))) if kind == "ICO" else picture()
        assert_alike(pictures.read(written(image, tmp_path / f"picture.{suffix}")), UPRIGHT)


def test_of_a_moving_picture_the_first_frame(tmp_path):
    later = [ImageOps.mirror(picture()), ImageOps.flip(picture())]
    path = written(picture(), tmp_path / "moving.gif", save_all=True, append_images=later)
    assert_alike(pictures.read(path), UPRIGHT)


@pytest.mark.parametrize(
    ("orientation", "stored"), [(2, "FLIP_LEFT_RIGHT"), (3, "ROTATE_180"), (6, "ROTATE_90")]
)
def test_the_exif_orientation_is_followed(tmp_path, orientation, stored):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = picture().transpose(Image.Transpose[stored])
    path = written(image, tmp_path / "camera.jpg", exif=exif, quality=95)
    assert_alike(pictures.read(path), UPRIGHT)


@pytest.mark.parametrize("margins", [((5, 5), (50, 2)), ((0, 30), (3, 3))])
def test_the_longer_side_is_28_and_the_object_centred(margins):
    upright = picture(margins=margins)
    tall, wide = pictures.prepare(upright), pictures.prepare(upright.rotate(90, expand=True))
    assert Image.fromarray(tall).getbbox() == (4, 0, 24, 28)
    assert Image.fromarray(wide).getbbox() == (0, 4, 28, 24)


@pytest.mark.parametrize("noise", [13, 12])
def test_what_is_near_the_ground_is_trimmed(noise):
    image = picture(ground=0, margins=((6, 6), (6, 6)))
    image.putpixel((0, 0), noise)
    trimmed = pictures.prepare(image)
    assert (abs(trimmed.astype(int) - UPRIGHT).mean() < 4) == (noise == 12)


@pytest.mark.parametrize("size", [(1, 1), (20, 20), (5, 300)])
@pytest.mark.parametrize("colour", [0, 90, 255])
def test_one_colour_is_all_ground(size, colour):
    image = Image.new("L", size, colour)
    image.putpixel((0, 0), abs(colour - 9))  # within the tolerance
    prepared = pictures.prepare(image)
    np.testing.assert_array_equal(prepared, np.zeros((28, 28)))
    assert not pictures.has_object(prepared)


def test_a_thin_line_is_an_object():
    image = Image.new("L", (400, 100))
    image.paste(255, (10, 50, 390, 51))
    assert pictures.has_object(pictures.prepare(image))


@pytest.mark.parametrize("pixels", [np.full((40, 40), 0.5, "f4"), np.full((40, 40), 70_000, "i4")])
def test_what_does_not_say_how_light_it_is(tmp_path, pixels):
    path = written(Image.fromarray(pixels), tmp_path / "bad.tiff")
    assert "do not say what white is" in message_of(pictures.read, path)


@pytest.mark.parametrize("limit", [30_000, 10_000])
def test_too_many_pixels(tmp_path, monkeypatch, limit):
    """Pillow warns of what is over its limit, and raises an error at the double."""
    path = written(picture(), tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    assert f"{path} has more than {limit:,} pixels" in message_of(pictures.read, path)
