"""No test image helps to train or to choose, and no image validates a model that it trained.

The graph says so in `test_wiring.py`; folds, statistics and temperatures have their tests beside
those of what they belong to. Here are the images themselves, the code, and the run in Git.
"""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

from stages.base import images
from stages.base.files import load_arrays, read_json
from stages.sources import sample
from tests.project import ROOT
from tests.test_wiring import HEADS, PARAMS, STAGES, TRAININGS, declared

FOLDS = PARAMS["cv"]["folds"]


def shared(train: np.ndarray, test: np.ndarray) -> int:
    """How many of the images `test` (n, 28, 28) are among the images `train`, whatever label."""
    known = {image.tobytes() for image in train}
    return sum(image.tobytes() in known for image in test)


def assert_nothing_is_shared(train: np.ndarray, test: np.ndarray) -> None:
    assert shared(train, train[-3:]) == 3, "it would be found"
    assert shared(train, test) == 0
    assert shared(train[:, :, ::-1], test) == 0, "as augmentation mirrors them"


def test_no_test_image_of_the_sample_is_a_training_image_or_its_mirror_image():
    train, test = (sample.read(split).images for split in images.SPLITS)
    assert_nothing_is_shared(train, test)


def test_no_published_test_image_is_a_training_image_or_its_mirror_image(fashion_mnist):
    train, test = (
        images.load(fashion_mnist / "data/clean", split).images for split in images.SPLITS
    )
    assert_nothing_is_shared(train, test)
    assert len({image.tobytes() for image in train}) == len(train), "nor is one in two folds"


def names_the_test_set(path: Path) -> list[str]:
    """The strings and names in a script or module by which it could ask for the test set."""
    code = path.read_text(encoding="utf-8")
    strings = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    texts = [text for text in strings if isinstance(text, str)]
    found = [text for text in texts if re.search(r"(^|[/_])test([/_.]|$)", text)]
    return found + re.findall(r"\bSPLITS\b", code)


@pytest.mark.parametrize("name", TRAININGS)
def test_no_training_asks_for_the_test_set(name):
    """Not even for what its stage does not declare. `images.py` only has both names."""
    modules = set(map(Path, declared(STAGES[name]))) - {Path("stages/base/images.py")}
    assert {
        str(path): found for path in modules if (found := names_the_test_set(ROOT / path))
    } == {}


def test_an_evaluation_asks_for_it():
    """So the search above finds it where it is."""
    for name in ("evaluate_lenet", "evaluate_head", "features"):
        assert names_the_test_set(ROOT / f"stages/{name}.py")


def validation_rows(folder: str) -> list[int]:
    """Which of the training images validated the training that Git has in metrics/`folder`."""
    return load_arrays(ROOT / "metrics" / folder / "predictions.npz")["validation_rows"].tolist()


@pytest.mark.parametrize("recipe", PARAMS["lenet"])
def test_the_folds_in_git_validate_every_image_once(recipe):
    rows = read_json(ROOT / "metrics/clean.json")["rows"]
    validated = [row for fold in FOLDS for row in validation_rows(f"lenet/{recipe}-{fold}")]
    assert sorted(validated) == list(range(rows))


@pytest.mark.parametrize(("head", "recipe"), HEADS)
def test_the_heads_in_git_were_validated_on_the_last_images(head, recipe):
    """Which none of their epochs saw: `test_heads.py`."""
    rows = read_json(ROOT / "metrics/clean.json")["rows"]
    first = int(rows * (1 - HEADS[head, recipe]["validation_split"]))
    assert validation_rows(f"{head}/{recipe}") == list(range(first, rows))
