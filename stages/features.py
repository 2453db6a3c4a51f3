"""Run every image through a frozen backbone, once.

Reads `data/clean/` and `models/pretrained/BACKBONE.npz`. Writes for BACKBONE and RECIPE
`data/features/BACKBONE-RECIPE/{train,test}.npy`, float32 (n, h, w, c), or (n, c) if pooled.

The images go through in parts, so memory stays the same as they grow in number; a part that is
done is kept in `.work/features/`, and a run that was interrupted goes on after it.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stages.common import backbone, images, params, work
from stages.common.command import run
from stages.common.files import whole_file, whole_folder
from stages.common.keras_setup import keras, use_deterministic_operations

INPUT = Path("data/clean")
PART = 2_000
BATCH = 100


def compute(extractor: keras.Model, raw: np.ndarray, folder: Path, split: str) -> list[Path]:
    """The features of `raw`, uint8 (n, 28, 28), as files of `PART` images each, in their order."""
    starts = range(0, len(raw), PART)
    parts = [folder / f"{split}-{start:09}.npy" for start in starts]
    with tqdm(
        total=len(raw),
        initial=min(len(raw), PART * sum(path.exists() for path in parts)),
        unit="image",
        desc=split,
        mininterval=0.5 if sys.stderr.isatty() else 10,
    ) as bar:
        for start, path in zip(starts, parts, strict=True):
            if not path.exists():
                images_of_part = raw[start : start + PART]
                found = extractor.predict(images_of_part, batch_size=BATCH, verbose=0)
                with whole_file(path) as unfinished:
                    np.save(unfinished, found)
                bar.update(len(images_of_part))
    return parts


def join(parts: list[Path], rows: int, path: Path) -> tuple[int, ...]:
    """Write the parts, one after another, as one array of `rows` rows, and return its shape."""
    first = np.load(parts[0], mmap_mode="r")
    joined = np.lib.format.open_memmap(path, "w+", first.dtype, (rows, *first.shape[1:]))
    for number, part in enumerate(parts):
        joined[number * PART : (number + 1) * PART] = np.load(part)
    joined.flush()
    return joined.shape


def main(name: str, recipe: str) -> None:
    settings = params.load()
    section = params.backbone(settings, name)
    chosen = params.recipe(getattr(settings.features, name), recipe, f"features.{name}")
    pretrained = Path(f"models/pretrained/{name}.npz")

    use_deterministic_operations()
    extractor = backbone.feature_extractor(name, section.layer, chosen, pretrained)

    folder = work.folder(
        f"features-{name}-{recipe}",
        {"layer": section.layer, **chosen.model_dump()},
        [pretrained, *(INPUT / f"{split}_images.npy" for split in images.SPLITS)],
    )
    with whole_folder(f"data/features/{name}-{recipe}") as output:
        for split in images.SPLITS:
            raw = images.load(INPUT, split).images
            parts = compute(extractor, raw, folder, split)
            shape = join(parts, len(raw), output / f"{split}.npy")
            print(f"features@{name}-{recipe}: {split} {shape}, {chosen.preprocessing} inputs")
    shutil.rmtree(folder)


if __name__ == "__main__":
    run(main, name=str, recipe=str)
