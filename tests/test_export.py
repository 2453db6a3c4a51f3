"""`stages/export.py`: what lies beside an exported model, and what may not lie there."""

import zipfile
from pathlib import Path

import h5py
import pytest

from stages import export
from stages.base.files import read_json, write_json
from tests.helpers import message_of
from tests.project import set_params

FOLDER = {"data.source": "folder"}
TABLES = {"data.source": "csv"}


@pytest.fixture
def trained(project: Path) -> Path:
    """A project with a model of fold 1; of a network it has a file of weights alone."""
    set_params(project, {"export.recipe": "study", "cv.folds": [1, 2]})
    write_json("models/lenet/study-1/training.json", {"classes": ["cat", "dog"], "units": 8})
    h5py.File("weights.h5", "w").close()
    with zipfile.ZipFile("models/lenet/study-1/model.keras", "w") as model:
        model.write("weights.h5", export.WEIGHTS)
    return project


@pytest.mark.parametrize(
    ("changes", "framed"),
    [
        ({"data.source": "fashion_mnist"}, True),
        (FOLDER, True),
        (FOLDER | {"data.framed": False}, False),
        (TABLES, True),
        (TABLES | {"data.classes": ["cat", "dog"]}, False),
    ],
)
def test_a_model_has_its_names_and_its_framing_beside_it(trained, changes, framed):
    set_params(trained, changes)
    export.main(1)
    beside = read_json("models/exported/1.json")
    assert beside == {"classes": ["cat", "dog"], "units": 8, "framed": framed}


def test_a_model_of_an_earlier_fold_must_go(trained):
    """`predict` would take the mean of both."""
    Path("models/exported").mkdir()
    Path("models/exported/3.keras").touch()
    assert "models/exported has 3.keras" in message_of(export.main, 1)
    Path("models/exported/3.keras").rename("models/exported/2.keras")
    export.main(1)
