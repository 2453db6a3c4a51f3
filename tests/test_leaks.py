"""No test image helps to train or to choose, and no image validates a model that it trained.

Folds, statistics and temperatures have their tests beside those of what they belong to, and the
trainings' own tests train where there is no test set. Here are the graph, the images, and the run
in Git.
"""

import re

import networkx
import numpy as np
import pytest
from dvc.repo import Repo

from stages import params
from stages.base import images
from stages.base.files import load_arrays, read_json
from stages.catalog import NETWORKS
from stages.sources import sample
from tests.imports import TRAININGS, declared, graph
from tests.project import ROOT
from tests.repro import kind

pytestmark = pytest.mark.leaks

STAGES = declared()
# Only these may read both sets: they bring them in and take them apart.
SPLITTING = ["ingest", "clean", "encode", "features"]
SETTINGS = params.load(ROOT / "params.yaml")
RECIPES = [(network, recipe) for network in NETWORKS for recipe in getattr(SETTINGS, network)]


@pytest.fixture(scope="module")
def before_trainings() -> set[str]:
    """The trainings, and all stages that any of them waits for."""
    with Repo(str(ROOT)) as repo:
        whole = graph(repo)
    trainings = {stage for stage in whole if kind(stage) in TRAININGS}
    assert {kind(stage) for stage in trainings} == set(TRAININGS)
    return trainings.union(*(networkx.descendants(whole, stage) for stage in trainings))


def test_no_training_depends_on_the_test_set_or_waits_for_an_evaluation(before_trainings):
    before = {kind(stage) for stage in before_trainings}
    assert before == {*TRAININGS, *SPLITTING, "choose", "weights"}
    for stage in before_trainings:
        if kind(stage) not in SPLITTING:
            deps = STAGES[stage].deps
            assert [dep for dep in deps if re.search("/test$|^data/(raw|clean)", dep)] == [], stage


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


@pytest.mark.long
def test_no_published_test_image_is_a_training_image_or_its_mirror_image(fashion_mnist):
    folder = fashion_mnist / "data/clean"
    train, test = (images.load(folder, split).images for split in images.SPLITS)
    assert_nothing_is_shared(train, test)
    assert len({image.tobytes() for image in train}) == len(train), "nor is one in two folds"


@pytest.mark.parametrize(("network", "recipe"), RECIPES)
def test_the_run_in_git_was_validated_as_its_recipe_says(network, recipe):
    """In folds every image once; else the last ones, which no epoch saw (`test_heads.py`)."""
    folds = params.trainings(SETTINGS, network, recipe)
    folder = ROOT / "metrics" / network / recipe
    rows = [load_arrays(folder / f"{n}/predictions.npz")["validation_rows"] for n in folds]
    images_in_all, first = read_json(ROOT / "metrics/clean.json")["rows"], 0
    if len(folds) == 1:
        first = int(images_in_all * (1 - getattr(SETTINGS, network)[recipe].validation_split))
    assert sorted(np.concatenate(rows)) == list(range(first, images_in_all))
