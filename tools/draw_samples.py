"""Draw the README's sample pictures: an ankle boot on a light background, a trouser on a dark one.

`python -m tools.draw_samples` writes them again, from the repository's root.
"""

from pathlib import Path

from PIL import Image, ImageDraw

FOLDER = Path("docs")
FINER = 8  # so many times larger is what is drawn, and smooth once it is made smaller

Shape = tuple[str, list[int]]  # a colour, and the corners of a polygon: x, y, x, y, ...

UPPER = [206, 48, 240, 55, 272, 54, 302, 46, 303, 80, 300, 118, 302, 154, 308, 190, 312, 226]
UPPER += [60, 228, 46, 224, 40, 216, 42, 206, 50, 198, 64, 191, 84, 185, 104, 179, 124, 171]
UPPER += [142, 161, 158, 149, 172, 136, 184, 121, 193, 106, 199, 90, 203, 70]
ANKLE_BOOT = [
    ("#35281f", [294, 26, 308, 22, 312, 72, 300, 76]),  # the loop to pull it on by
    ("#4d3c32", UPPER),
    ("#2b211b", [226, 53, 272, 54, 268, 90, 258, 124, 248, 136, 238, 124, 229, 90]),  # the elastic
    ("#6b5648", [62, 202, 112, 186, 146, 170, 148, 175, 116, 194, 64, 210]),  # light on the toe
    ("#3a2d25", [170, 138, 174, 134, 190, 156, 202, 190, 208, 228, 202, 228, 196, 190]),  # a seam
    ("#1d1815", [38, 220, 313, 220, 314, 238, 60, 240, 42, 236, 34, 228]),  # the sole
    ("#1d1815", [236, 236, 314, 236, 311, 266, 244, 266]),  # the heel
]

LEG = [106, 20, 194, 20, 200, 64, 206, 140, 196, 336, 164, 336, 156, 190, 150, 96]
TROUSER = [
    ("#c9c2b0", LEG),
    ("#c9c2b0", [300 - value if n % 2 == 0 else value for n, value in enumerate(LEG)]),
    ("#a89f8b", [104, 20, 196, 20, 198, 36, 102, 36]),  # the waistband
    ("#a89f8b", [148, 36, 152, 36, 152, 96, 148, 96]),  # the fly
]


def draw(size: tuple[int, int], background: str, shapes: list[Shape]) -> Image.Image:
    """The shapes, one over another, as an RGB image of `size` (width, height) in pixels."""
    image = Image.new("RGB", [FINER * side for side in size], background)
    for colour, corners in shapes:
        ImageDraw.Draw(image).polygon([FINER * value for value in corners], colour)
    return image.resize(size, Image.Resampling.BOX)


def main() -> None:
    draw((360, 300), "#f1efec", ANKLE_BOOT).save(FOLDER / "ankle_boot.png", optimize=True)
    draw((300, 360), "#24262b", TROUSER).save(FOLDER / "trouser.png", optimize=True)


if __name__ == "__main__":
    main()
