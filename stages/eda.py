"""Look at the training images: the study's figures, and class balance and histograms as data.

Reads `data/clean/`. Writes `plots/eda/`: six figures (.png), and for `dvc plots`
`class_balance.csv` (class,count) and `pixel_histograms.csv` (class,value,count; long form, where
`value` is the darkest of the grey values in a bin and the class "(all)" is all the images).

Rows, columns and pixels count from 1, as in the study's table; pixel28 ends the first row.
"""

import numpy as np
import pandas as pd

from stages.base import images
from stages.base.files import atomic_folder
from stages.base.images import SIDE
from stages.cli import run
from stages.results import figures
from stages.results.figures import mpl, plt, sns

INPUT = "data/clean"
OUTPUT = "plots/eda"

GREY = "grey value (0-255)"
VALUES = 256
SAMPLES = 12  # images of each class

# (row, column) of single pixels: two corners and two edges, then four around the middle.
OUTER = ((1, 1), (28, 28), (15, 1), (1, 15))
INNER = ((15, 15), (9, 15), (15, 9), (21, 15))
# A row of pixels from edge to edge through the middle, few enough to be read one by one.
ROW = 15
COLUMNS = np.arange(1, SIDE + 1, 3)


def number(row: int, column: int) -> int:
    """The number that the pixel at `row` and `column` has in the study's table."""
    return (row - 1) * SIDE + column


def count_values(pixels: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """How many images of each class have each grey value at each pixel: int (784, classes, 256).

    `pixels`: uint8 (n, 784). `labels`: uint8 (n,).
    """
    offsets = labels.astype(np.intp) * VALUES
    columns = np.ascontiguousarray(pixels.T)
    counts = [np.bincount(offsets + column, minlength=classes * VALUES) for column in columns]
    return np.reshape(counts, (-1, classes, VALUES))


def binned(counts: np.ndarray, bins: int) -> np.ndarray:
    """Counts by grey value (..., 256) as counts by bin (..., bins)."""
    return counts.reshape(*counts.shape[:-1], bins, -1).sum(axis=-1)


def pixel_histograms(counts: np.ndarray, bins: int = 16) -> plt.Figure:
    """All 784 histograms, each at its pixel's place. `counts`: int (784, 256)."""
    total = counts[0].sum()
    heights = np.log1p(binned(counts, bins)) / np.log1p(total)
    row, column = np.divmod(np.arange(len(counts))[:, np.newaxis], SIDE)
    # An outline goes along the top of every bar, and begins and ends on the cell's floor.
    x = column + 1 + np.repeat(np.linspace(-0.44, 0.44, bins + 1), 2)
    y = row + 1.44 - 0.88 * np.pad(np.repeat(heights, 2, axis=1), ((0, 0), (1, 1)))
    black = 100 * counts[:, 0] / total
    # One collection in one Axes: 784 Axes would take far longer to draw than all the rest.
    histograms = mpl.collections.PolyCollection(
        np.stack([x, y], axis=-1), array=black, cmap="viridis_r", clim=(0, 100), linewidths=0
    )
    figure, axes = plt.subplots(figsize=(10.5, 9.8))
    axes.add_collection(histograms)
    ticks, borders = [1, *range(4, SIDE + 1, 4)], np.arange(SIDE) + 0.5
    axes.set(xlim=(0.5, SIDE + 0.5), ylim=(SIDE + 0.5, 0.5), aspect="equal")
    axes.set(xlabel="column of the image", ylabel="row of the image", xticks=ticks, yticks=ticks)
    axes.set_xticks(borders, minor=True)
    axes.set_yticks(borders, minor=True)
    axes.grid(False)
    axes.grid(which="minor", lw=0.4)
    axes.set_title(f"Histograms of all {len(counts)} pixels over {total:,} training images")
    figure.colorbar(histograms, shrink=0.6, label="images in which the pixel is black (%)")
    figure.supxlabel(
        f"A cell is a pixel. From left to right: {GREY} in {bins} bins. Upwards: images, on a "
        "log scale shared by all cells,\n"
        f"log(1 + images), from 0 at a cell's floor to {total:,} at its top.",
        fontsize="medium",
    )
    return figure


def single_pixel_histograms(counts: np.ndarray, bins: int = 32) -> plt.Figure:
    """Histograms of `OUTER` (above) and `INNER` (below). `counts`: int (784, 256)."""
    total = counts[0].sum()
    edges = np.linspace(0, VALUES, bins + 1)
    figure, grid = plt.subplots(2, 4, figsize=(12, 6), sharex=True, sharey=True)
    for axes, (row, column) in zip(grid.flat, OUTER + INNER, strict=True):
        pixel = counts[number(row, column) - 1]
        color = figures.TRAINING_COLOR if (row, column) in INNER else "dimgrey"
        axes.stairs(binned(pixel, bins), edges, fill=True, color=color)
        axes.set_title(
            f"pixel{number(row, column)} (row {row}, column {column})\n"
            f"black in {pixel[0] / total:.2%} of the images"
        )
        axes.grid(False, axis="x")
    axes.set(yscale="log", ylim=(0.8, 2 * total), xlim=(0, VALUES), xticks=[0, 64, 128, 192])
    axes.yaxis.set_major_formatter("{x:,.0f}")
    figure.supxlabel(f"{GREY}, in {bins} bins", fontsize="medium")
    figure.supylabel("images (log scale)", fontsize="medium")
    figure.suptitle("Histograms of single pixels: at the edge (grey), around the middle (blue)")
    return figure


def box_plots(row: np.ndarray) -> plt.Figure:
    """Box plots of the pixels at `COLUMNS` of `ROW`. `row`: uint8 (n, len(COLUMNS))."""
    boxes = mpl.cbook.boxplot_stats(row, labels=COLUMNS)
    figure, axes = plt.subplots(figsize=(10, 5.4))
    axes.text(0.4, 272, "outliers", ha="right", va="center")
    for place, box in enumerate(boxes, start=1):
        axes.text(place, 272, f"{len(box['fliers']) / len(row):.1%}", ha="center", va="center")
        # Thousands of outliers share the same few values; one mark for each value is enough.
        box["fliers"] = np.unique(box["fliers"])
    axes.bxp(
        boxes,
        widths=0.55,
        patch_artist=True,
        boxprops={"facecolor": figures.TRAINING_COLOR, "alpha": 0.55},
        medianprops={"color": "black", "lw": 2.5},
        flierprops={"marker": "_", "ms": 14, "mec": figures.VALIDATION_COLOR, "mew": 0.6},
    )
    axes.set(ylim=(-6, 286), yticks=[0, 64, 128, 192, 255], ylabel=GREY)
    first, last = number(ROW, COLUMNS[0]), number(ROW, COLUMNS[-1])
    axes.set_xlabel(f"column of the pixel in row {ROW} of the image (pixel{first} to pixel{last})")
    axes.grid(False, axis="x")
    axes.set_title(
        f"Box plots of {len(COLUMNS)} pixels from edge to edge\nbox: quartiles, median in bold; "
        "whiskers: at most 1.5 box heights; orange: values beyond them, the outliers"
    )
    return figure


def samples(pixels: np.ndarray, labels: np.ndarray, names: list[str]) -> plt.Figure:
    """The first `SAMPLES` images of every class, a row each. `pixels`: uint8 (n, 784)."""
    cell = SIDE + 2
    place = pd.Series(labels).groupby(labels).cumcount().to_numpy()
    first = place < SAMPLES
    sheet = np.full((len(names), SAMPLES, cell, cell), 255, np.uint8)
    sheet[labels[first], place[first], 1:-1, 1:-1] = pixels[first].reshape(-1, SIDE, SIDE)
    sheet = sheet.swapaxes(1, 2).reshape(len(names) * cell, -1)
    figure, axes = plt.subplots(figsize=(1.86 + 0.72 * SAMPLES, 0.7 + 0.72 * len(names)))
    axes.imshow(sheet, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set(xticks=[], title=f"The first {SAMPLES} training images of each class (0 is black)")
    axes.set_yticks((np.arange(len(names)) + 0.5) * cell, names)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure


def correlation_heat_map(pixels: np.ndarray) -> plt.Figure:
    """Pearson's correlation of all pixels, beside that of the pixels at `COLUMNS` of `ROW`.

    `pixels`: uint8 (n, 784).
    """
    with np.errstate(invalid="ignore"):  # NaN for constants
        correlation = np.corrcoef(pixels, rowvar=False)
    last = len(correlation)
    chosen = number(ROW, COLUMNS) - 1
    # Steps of 0.1 around each tick can be read off the bar, and make the file half as large.
    colors = {"cmap": sns.color_palette("vlag", as_cmap=True).resampled(21)}
    colors |= {"vmin": -1.05, "vmax": 1.05}
    figure, (whole, part) = plt.subplots(1, 2, figsize=(14, 6.6))
    image = whole.imshow(
        correlation, **colors, extent=(0.5, last + 0.5, last + 0.5, 0.5), interpolation_stage="data"
    )
    ticks = [1, *range(4 * SIDE, last + 1, 4 * SIDE)]
    whole.set(xticks=ticks, yticks=ticks, xlabel="pixel", ylabel="pixel")
    whole.set_title(f"All {last} pixels, row after row of the image")
    sns.heatmap(
        pd.DataFrame(correlation[np.ix_(chosen, chosen)], COLUMNS, COLUMNS),
        **colors,
        ax=part,
        annot=True,
        annot_kws={"color": "black"},
        fmt=".2f",
        square=True,
        cbar=False,
        linewidths=1,
    )
    part.set(xlabel=f"column of row {ROW}", ylabel=f"column of row {ROW}")
    part.set_title(f"{len(chosen)} pixels of row {ROW}, from edge to edge")
    part.tick_params(axis="y", rotation=0)
    for axes in (whole, part):
        axes.grid(False)
        axes.set_facecolor("darkgrey")
    figure.colorbar(image, ax=part, label="Pearson's correlation", ticks=np.linspace(-1, 1, 11))
    constant = np.isnan(correlation.diagonal()).sum()
    none = f"none for {constant} that are constant (grey)" if constant else "no pixel is constant"
    figure.suptitle(f"Correlation of the pixels: {none}")
    return figure


def class_means(counts: np.ndarray, names: list[str]) -> plt.Figure:
    """The mean image of every class. `counts`: int (784, classes, 256)."""
    per_class = counts[0].sum(axis=-1)
    # A class without images gets an empty picture: NaN, and no division by zero.
    means = (counts @ np.arange(VALUES)).T / np.where(per_class, per_class, np.nan)[:, None]
    columns = min(len(names), 5)
    rows = -(-len(names) // columns)
    size = (11, 0.6 + 11 / columns * rows)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axes, mean, name in zip(grid.flat, means, names, strict=False):
        image = axes.imshow(mean.reshape(SIDE, SIDE), cmap="gray", vmin=0, vmax=255)
        axes.set(xticks=[], yticks=[])
        axes.set_title(name)
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    figure.colorbar(image, ax=grid, label=f"mean {GREY}", ticks=[0, 64, 128, 192, 255])
    figure.suptitle("The mean image of each class")
    return figure


def histogram_table(counts: np.ndarray, classes: tuple[str, ...], bins: int = 32) -> pd.DataFrame:
    """Pixels by grey value, of all images and of each class. `counts`: int (784, classes, 256)."""
    per_class = binned(counts.sum(axis=0), bins)
    histograms = np.vstack([per_class.sum(axis=0), per_class])
    table = pd.DataFrame(histograms, ["(all)", *classes], range(0, VALUES, VALUES // bins))
    return table.rename_axis(index="class", columns="value").stack().rename("count").reset_index()


def main() -> None:
    train = images.load(INPUT, "train")
    names = figures.class_names(train.classes)
    pixels, labels = train.images.reshape(len(train), -1), train.labels
    counts = count_values(pixels, labels, len(names))
    all_classes, per_class = counts.sum(axis=1), counts[0].sum(axis=-1)

    drawn = {
        "pixel_histograms": pixel_histograms(all_classes),
        "single_pixel_histograms": single_pixel_histograms(all_classes),
        "box_plots": box_plots(pixels[:, number(ROW, COLUMNS) - 1]),
        "samples": samples(pixels, labels, names),
        "correlation": correlation_heat_map(pixels),
        "class_means": class_means(counts, names),
    }
    balance = pd.DataFrame({"class": train.classes, "count": per_class})
    with atomic_folder(OUTPUT) as folder:
        for name, figure in drawn.items():
            figures.save(figure, folder / f"{name}.png")
        balance.to_csv(folder / "class_balance.csv", index=False)
        histogram_table(counts, train.classes).to_csv(folder / "pixel_histograms.csv", index=False)
    least, most = per_class.min(), per_class.max()
    size = f"{most:,} each (balanced)" if least == most else f"{least:,} to {most:,} each"
    seen = f"{len(train):,} training images in {len(names)} classes of {size}"
    print(f"eda: {seen}; {len(drawn)} figures, 2 tables in {OUTPUT}")


if __name__ == "__main__":
    run(main)
