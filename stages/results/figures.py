"""How every figure of the project looks, and how it is written.

Matplotlib and Seaborn are imported through this module: what a notebook sets as `MPLBACKEND` ends
their import in another environment.
"""

import os
from collections.abc import Sequence
from pathlib import Path

os.environ["MPLBACKEND"] = "agg"

import matplotlib as mpl
import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib import font_manager

from stages.base.files import atomic_file

# Seaborn's "colorblind" palette after Okabe and Ito: two colours for readers of any colour vision.
TRAINING_COLOR, VALIDATION_COLOR, *_ = sns.color_palette("colorblind")
# Matplotlib brings the first. Linux, macOS and Windows have the others for Asian signs.
FONTS = ("DejaVu Sans", "Noto Sans CJK JP", "Arial Unicode MS", "Microsoft YaHei")
LONGEST = 20  # characters of a class's name

mpl.rcdefaults()  # whatever the user's own `matplotlibrc` says
sns.set_theme(style="whitegrid", palette="colorblind", font_scale=0.9)
mpl.rcParams |= {
    "font.family": [font for font in FONTS if font in font_manager.get_font_names()],
    "text.parse_math": False,  # a $ in a name is a dollar
    "figure.dpi": 100,
    "savefig.dpi": 100,
    "figure.constrained_layout.use": True,
}


def class_names(classes: Sequence[str]) -> list[str]:
    """The classes' names as figures show them, each another.

    A name that is too long, or that a font may lack signs for, gets its label before it.
    """
    shown = []
    for label, name in enumerate(classes):
        short = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        shown.append(name if short == name and name.isascii() else f"{label}: {short}")
    return shown


def save(figure: plt.Figure, path: Path | str) -> None:
    """Write `figure` as PNG, the same bytes for the same figure, and close it."""
    with atomic_file(path) as unfinished:
        figure.savefig(unfinished, metadata={"Software": None})
    plt.close(figure)
