"""Writing Keras models: the same weights give the same bytes."""

import json
import re
import zipfile
from pathlib import Path

from stages.training.keras_setup import keras


def without_optimizer(model: keras.Sequential) -> keras.Sequential:
    """A copy to save: Adam's state would make the file three times as large."""
    copy = keras.Sequential.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def save_model(model: keras.Model, path: Path) -> None:
    """Write `model` as `.keras`.

    The file is a zip archive (https://keras.io/api/models/model_saving_apis/), in which Keras puts
    the date of saving and, as identifiers of shared objects, addresses in memory.
    """
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    metadata = json.loads(entries["metadata.json"])
    del metadata["date_saved"]
    entries["metadata.json"] = json.dumps(metadata).encode()
    entries["config.json"] = _number_shared_objects(entries["config.json"].decode()).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def _number_shared_objects(config: str) -> str:
    numbers: dict[str, int] = {}
    return re.sub(
        r'("shared_object_id": )(\d+)',
        lambda match: f"{match[1]}{numbers.setdefault(match[2], len(numbers))}",
        config,
    )


def load_model(path: Path) -> keras.Model:
    """Read what `save_model` wrote."""
    return keras.saving.load_model(path, compile=False)
