"""Compute the features of every image with a frozen backbone, once.

Reads `data/clean/` and the backbone's tensors in `models/pretrained/`. Writes for NAME, a key of
the params section `features`, `data/features/NAME/train/` and `data/features/NAME/test/`, an output
each, so that no training depends on the test set. In each: `features.npy` (n, h, w, c), or (n, d)
if pooled or of several layers, and `mirrored.npy`, those of the mirror images, if the recipe asks
for them. They are float32, or float16 if they were computed in a lower precision.

It works in chunks, so memory does not grow with the number of images. A finished chunk is kept in
`.work/features/`, and a run that was interrupted goes on after it.
"""

import shutil
import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stages import params
from stages.base import images
from stages.base.files import atomic_file, atomic_folder
from stages.cli import run
from stages.networks import backbone
from stages.training import resume
from stages.training.keras_setup import keras, use_deterministic_operations

INPUT = Path("data/clean")
OUTPUT = Path("data/features")
CHUNK = 2_000
BATCH = 100


def compute(extractor: keras.Model, raw: np.ndarray, folder: Path, name: str) -> list[Path]:
    """The features of `raw`, uint8 (n, 28, 28), as files of `CHUNK` images each, in their order."""
    starts = range(0, len(raw), CHUNK)
    chunks = [folder / f"{name}-{start:09}.npy" for start in starts]
    with tqdm(
        total=len(raw),
        initial=min(len(raw), CHUNK * sum(path.exists() for path in chunks)),
        unit="image",
        desc=name,
        ncols=80,
        mininterval=0.5 if sys.stderr.isatty() else 10,
    ) as bar:
        for start, path in zip(starts, chunks, strict=True):
            if not path.exists():
                images_of_chunk = raw[start : start + CHUNK]
                features = by_batches(extractor, images_of_chunk)
                with atomic_file(path) as unfinished:
                    np.save(unfinished, features)
                bar.update(len(images_of_chunk))
    return chunks


def by_batches(extractor: keras.Model, raw: np.ndarray) -> np.ndarray:
    """The features of `raw`, float32.

    Not by `model.predict`, whose end waits for tf.data as `stages/training/batches.py` says.
    """
    # PyTorch takes no array that is stored backwards, as the mirror images are.
    batches = (
        np.ascontiguousarray(raw[start : start + BATCH]) for start in range(0, len(raw), BATCH)
    )
    return np.concatenate([extractor.predict_on_batch(batch) for batch in batches])


def join(chunks: list[Path], rows: int, path: Path, dtype: str) -> tuple[int, ...]:
    """Write the chunks, one after another, as one array of `rows` rows, and return its shape.

    Not through a memory map, by which Linux ends the process where the disk is full.
    """
    shape = (rows, *np.load(chunks[0], mmap_mode="r").shape[1:])
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            file.write(np.ascontiguousarray(np.load(chunk), dtype))
    return shape


def main(name: str) -> None:
    settings = params.load()
    recipe = params.recipe(settings.features, name, "features")
    layer = settings.backbone[recipe.backbone].layer
    pretrained = Path(f"models/pretrained/{recipe.backbone}.npz")

    use_deterministic_operations()
    extractor = backbone.feature_extractor(layer, recipe, pretrained)
    work = resume.folder(
        f"features@{name}",
        {"layer": layer, **recipe.model_dump()},
        [pretrained, *(INPUT / f"{split}_images.npy" for split in images.SPLITS)],
    )
    for split in images.SPLITS:
        raw = images.load(INPUT, split).images
        views = {"features": raw} | ({"mirrored": raw[:, :, ::-1]} if recipe.mirrored else {})
        with atomic_folder(OUTPUT / name / split) as folder:
            for view, pixels in views.items():
                chunks = compute(extractor, pixels, work, f"{split}-{view}")
                dtype = "float16" if recipe.precision else "float32"
                shape = join(chunks, len(raw), folder / f"{view}.npy", dtype)
        print(f"features@{name}: {split}, {' and '.join(views)}, each {shape}")
    shutil.rmtree(work)


if __name__ == "__main__":
    run(main, name=str)
