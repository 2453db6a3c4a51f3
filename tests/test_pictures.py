"""`stages/sources/pictures.py`: pictures of every kind, and files that are none."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
@pytest.mark.parametrize(("ground", "inverted"), [(127, False), (128, True)])
def test_28x28_is_taken_as_it_is_or_inverted_if_its_ground_is_over_127(ground, inverted, framed):
    pixels = np.full((28, 28), ground, np.uint8)
    pixels[0, :20] = 255 - ground  # an object at the border, which the median passes over
    expected = 255 - pixels if inverted else pixels
    np.testing.assert_array_equal(pictures.prepare(Image.fromarray(pixels), framed), expected)


@pytest.mark.parametrize(("cell", "ground"), [(2, 40), (61, 230)])
def test_every_ground_and_size_gives_the_same(cell, ground):
    image = picture(cell, ground)
    image.putpixel((0, 0), ground - 12)  # within the tolerance, so it is trimmed
    assert_alike(pictures.prepare(image), UPRIGHT)


@pytest.mark.parametrize(("cell", "ground"), [(4, 0), (20, 255)])
def test_without_framing_an_object_stays_where_it_is(cell, ground):
    image = picture(cell, ground, margins=((8, 6), (10, 8)))
    expected = BRIGHT * np.pad(OBJECT, ((8, 6), (10, 8)))
    assert_alike(pictures.prepare(image, framed=False), expected)


@pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK"])
def test_every_mode_gives_the_same(mode):
    assert_alike(pictures.prepare(picture().convert(mode)), UPRIGHT)


@pytest.mark.parametrize(("dtype", "scale"), [("u2", 257), ("i4", 1)])
def test_whole_numbers_of_16_and_32_bits(tmp_path, dtype, scale):
    image = Image.fromarray(np.asarray(picture()).astype(dtype) * scale)
    assert_alike(pictures.read(written(image, tmp_path / "whole.tiff")), UPRIGHT)


def test_a_transparent_ground_is_white():
    grey = picture()
    pixels = np.array(Image.merge("RGBA", [grey] * 3 + [grey.point(lambda at: 255 * (at < 255))]))
    pixels[pixels[..., 3] == 0] = 0  # black, which must not show
    assert_alike(pictures.prepare(Image.fromarray(pixels)), UPRIGHT)


def test_every_format_gives_the_same(tmp_path):
    suffixes = {kind: kind.lower() for kind in pictures.FORMATS}
    suffixes |= {"JPEG2000": "jp2", "JPEG": "jpg"}
    for kind, suffix in suffixes.items():
        # Icons are square, and no larger than 256.
        image = picture(cell=10, margins=((3, 3), (5, 5))) if kind == "ICO" else picture()
        assert_alike(pictures.read(written(image, tmp_path / f"picture.{suffix}")), UPRIGHT)


def test_the_exif_orientation_is_followed(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = picture().transpose(Image.Transpose.ROTATE_90)
    path = written(image, tmp_path / "camera.jpg", exif=exif, quality=95)
    assert_alike(pictures.read(path), UPRIGHT)


def test_the_longer_side_is_28_and_the_object_centred():
    upright = picture(margins=((5, 5), (50, 2)))
    tall, wide = pictures.prepare(upright), pictures.prepare(upright.rotate(90, expand=True))
    assert Image.fromarray(tall).getbbox() == (4, 0, 24, 28)
    assert Image.fromarray(wide).getbbox() == (0, 4, 28, 24)


@pytest.mark.parametrize("size", [(1, 1), (5, 300)])
def test_one_colour_is_all_ground(size):
    image = Image.new("L", size, 90)
    image.putpixel((0, 0), 81)  # within the tolerance
    prepared = pictures.prepare(image)
    np.testing.assert_array_equal(prepared, np.zeros((28, 28)))
    assert not pictures.has_object(prepared)


@pytest.mark.parametrize(("value", "dtype"), [(0.5, "f4"), (4_000, "u2"), (70_000, "i4")])
def test_what_does_not_say_how_light_it_is(tmp_path, value, dtype):
    path = written(Image.fromarray(np.full((40, 40), value, dtype)), tmp_path / "bad.tiff")
    assert "without a defined white" in message_of(pictures.read, path)
