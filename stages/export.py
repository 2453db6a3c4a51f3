"""Take LeNet-5 of one fold out of DVC's cache, for Git, in half precision.

Reads `models/lenet/RECIPE-FOLD/` of the recipe that the param `export.recipe` names. Writes for
FOLD `models/exported/FOLD.keras`, and `FOLD.json` beside it: how it was trained, the names of the
classes, and whether pictures are `framed` for it. `tools/predict.py` answers with the mean of all
that lie there.
"""

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np

from stages import params
from stages.base.files import atomic_file, read_json, write_json
from stages.cli import InputError, run
from stages.params import Data

WEIGHTS = "model.weights.h5"


def framed(data: Data) -> bool:
    """Whether pictures are trimmed to their object, as Fashion-MNIST's makers did theirs.

    Tables and IDX files of one's own have their images as they came.
    """
    if data.source == "folder":
        return data.framed is not False
    return data.source not in ("csv", "idx") or data.classes is None


def in_half_precision(weights: bytes) -> bytes:
    """The HDF5 file `weights` with float16 in place of float32; Keras reads one like the other."""
    file = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as source, h5py.File(file, "w") as target:

        def copy(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                half = item.dtype == np.float32
                target.create_dataset(name, data=item[()].astype(np.float16) if half else item[()])
            else:
                target.require_group(name)
            target[name].attrs.update(item.attrs)

        source.visititems(copy)
        target.attrs.update(source.attrs)
    return file.getvalue()


def main(fold: int) -> None:
    settings = params.load()
    recipe = settings.export.recipe
    source = Path(f"models/lenet/{recipe}-{fold}/model.keras")
    target = Path(f"models/exported/{fold}.keras")
    if not source.exists():
        raise InputError(f"{source} is missing; `dvc checkout` or `dvc pull` brings it")
    wanted = {f"{each}.keras" for each in settings.cv.folds}
    if left_over := sorted({path.name for path in target.parent.glob("[!.]*.keras")} - wanted):
        raise InputError(
            f"{target.parent} has {', '.join(left_over)}, which no fold of params.yaml writes and "
            "`predict` would ask; remove such files and the .json beside them with `git rm`"
        )
    with zipfile.ZipFile(source) as full:
        contents = {entry: full.read(entry) for entry in full.infolist()}
        weights = full.getinfo(WEIGHTS)
        contents[weights] = in_half_precision(contents[weights])
    with atomic_file(target) as unfinished, zipfile.ZipFile(unfinished, "w") as half:
        for entry, content in contents.items():
            half.writestr(entry, content)
    training = read_json(source.with_name("training.json"))
    write_json(target.with_suffix(".json"), training | {"framed": framed(settings.data)})
    # LeNet-5 with 512 units, the most that the search admits, stays under the 1.5 MB of a file.
    print(f"export@{fold}: {target}, {target.stat().st_size / 1e6:.2f} MB, of recipe {recipe}")


if __name__ == "__main__":
    run(main, fold=int)
