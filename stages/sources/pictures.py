"""Picture files of all kinds as what the networks take: 28x28, a light object on a dark ground."""

import logging
import textwrap
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageOps

from stages.base.images import SIDE
from stages.cli import InputError

# Fashion-MNIST's makers trimmed what is within 5 % of the background (arXiv:1708.07747, section 2).
TOLERANCE = 0.05 * 255
# Pillow knows more: for EPS it would start Ghostscript, and some it can only identify.
FORMATS = ("AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "TGA", "TIFF", "WEBP")
NO_WHITE = "without a defined white; save the picture as an 8-bit PNG"

logging.getLogger("PIL").setLevel(logging.CRITICAL)  # it logs some of what it then raises


def read(path: Path, framed: bool = True) -> np.ndarray:
    """The picture in the file `path`, prepared: uint8 (28, 28).

    Raises:
        InputError: the file is missing, damaged or no picture, or has too many pixels or no grey.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of much that leaves the pixels intact, such as damaged EXIF data.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as picture:
                return prepare(ImageOps.exif_transpose(picture), framed)
    except MemoryError:
        raise
    except Exception as error:  # damaged files make Pillow raise nearly everything
        reason = textwrap.shorten(str(error), 150) or type(error).__name__
        raise InputError(f"{path} cannot be read ({reason}); replace it or leave it out") from None


def prepare(picture: Image.Image, framed: bool = True) -> np.ndarray:
    """The picture as the networks take it: a light object on a dark ground.

    The ground is the median of the border's pixels. With `framed`, the picture is made much like
    Fashion-MNIST's (arXiv:1708.07747, section 2): each pixel becomes its distance from the ground,
    what surrounds the object is trimmed, the longer side is scaled to 28, and the object centred.
    (The makers also sharpened, and scaled by dropping rows and columns.) Without `framed`, or if
    the picture has 28x28 pixels, it is inverted if its ground is light (over 127), and scaled
    as a whole.

    Args:
        picture: upright, of any size. Transparent parts count as white.
        framed: whether to trim what surrounds the object. Switch it off for pictures that are
            framed already, such as digits at another size.

    Returns:
        uint8 array (28, 28); black if it has no object to frame.

    Raises:
        ValueError: its pixels cannot be converted to grey, or have no defined white.
    """
    grey = _grey(picture)
    pixels = np.asarray(grey)
    ground = int(np.median(np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])))
    if not framed or grey.size == (SIDE, SIDE):
        if ground > 127:
            grey, ground = ImageChops.invert(grey), 255 - ground
        return _scaled(grey, ground)
    # This inverts a light ground, and makes every ground 0.
    distance = ImageChops.difference(grey, Image.new("L", grey.size, ground))
    box = distance.point(lambda value: value > TOLERANCE).getbbox()
    return _scaled(distance.crop(box), 0) if box else np.zeros((SIDE, SIDE), np.uint8)


def has_object(prepared: np.ndarray) -> bool:
    """Whether the network is shown more than one shade."""
    return bool(np.ptp(prepared) > TOLERANCE)


def _scaled(grey: Image.Image, ground: int) -> np.ndarray:
    """`grey` with its longer side of 28, in the middle of a picture 28x28 of the grey `ground`."""
    size = [max(1, round(side * SIDE / max(grey.size))) for side in grey.size]  # a thread stays
    centred = Image.new("L", (SIDE, SIDE), ground)
    corner = [round((SIDE - side) / 2) for side in size]
    centred.paste(grey.resize(size, Image.Resampling.LANCZOS), corner)
    return np.asarray(centred)


def _grey(picture: Image.Image) -> Image.Image:
    if picture.mode == "F":
        raise ValueError(f"its pixels are floating-point numbers {NO_WHITE}")
    if picture.mode.startswith("I"):  # whole numbers of 16 or 32 bits; Pillow would cut them at 255
        pixels = np.asarray(picture)
        lowest, highest = int(pixels.min()), int(pixels.max())
        # Cameras put 12 bits into files of 16, which do not say so.
        if lowest < 0 or 255 < highest < 4_096 or highest > 65_535:
            raise ValueError(f"its pixels go from {lowest:,} to {highest:,}, {NO_WHITE}")
        return Image.fromarray((pixels if highest <= 255 else pixels / 257).astype(np.uint8))
    colour = picture.convert("RGBA")
    white = Image.new("RGBA", colour.size, "white")
    return Image.alpha_composite(white, colour).convert("L")
