"""`tools/ablation.py`: the plan leads from one recipe to the other, and the page says so."""

from itertools import pairwise
from typing import Any

import pandas as pd
import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from stages.base.files import read_yaml
from tests.project import ROOT
from tools import ablation

PARAMS = read_yaml(ROOT / "params.yaml")
LAST_CHANGE = {
    # Tried together. The first fold has the same seed with `seed_by_fold` as without.
    "LeNet-5, fold 1": {
        "lenet.erasing",
        "lenet.average_shifted",
        "lenet.dropout",
        "lenet.seed_by_fold",
    },
    "ResNet50": {"features.mirrored"},
    "VGG16": {"features.mirrored"},
}
# What a later row changes a second time.
BEFORE_THE_LAST = {"lenet.dropout": 0.4}
EPOCHS = {"lenet.epochs": 40}  # until the images are moved
NETWORKS = {"LeNet-5, fold 1": "lenet", "ResNet50": "resnet", "VGG16": "vgg"}


def recipe(params: dict[str, Any], network: str, name: str) -> dict[str, Any]:
    """The settings of a recipe and of its features by their dotted name."""
    section = NETWORKS[network]
    settings = dict(params[section][name])
    features = params["features"].get(settings.pop("features", None), {})
    backbone = params["backbone"].get(features.get("backbone"), {})
    features = {"layers": [backbone.get("layer")], **features} if features else {}
    return {
        **{f"{section}.{key}": value for key, value in settings.items()},
        **{f"features.{key}": value for key, value in features.items()},
    }


def after(arguments: list[str]) -> dict[str, Any]:
    """The params after all `-S` of a command, by DVC's own rules."""
    path = "params.yaml"
    with open(path, "w", encoding="utf-8") as file:
        yaml.safe_dump(PARAMS, file)
    settings = [each for flag, each in pairwise(arguments) if flag == "-S"]
    apply_overrides(path, settings)
    return read_yaml(path)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_rows_lead_from_the_study_to_improved(network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, *rows, last = [row for row in ablation.rows() if row.network == network]
    assert "study" in first.command
    improved = recipe(PARAMS, network, "improved")
    before = recipe(PARAMS, network, "study")
    for row in rows:
        found = recipe(after(row.arguments), network, "study")
        changed = {key for key in found if found[key] != before.get(key)}
        assert changed, row
        allowed = improved | BEFORE_THE_LAST
        assert all(found[key] in (allowed[key], EPOCHS.get(key)) for key in changed), row
        before = found
    left = {key for key in improved if improved[key] != before.get(key)}
    assert left == LAST_CHANGE[network]
    assert "improved" in last.command


def test_a_seed_is_all_that_its_rows_change(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, *rows = [row for row in ablation.rows() if row.table == "seeds"]
    assert first.arguments == ["evaluate_lenet@study-1"]
    seeds = [PARAMS["seed"]]
    for row in rows:
        found = after(row.arguments)
        seeds.append(found["lenet"]["study"].pop("seed"))
        assert found == PARAMS
    assert len(set(seeds)) == len(seeds) == 5


def test_every_row_has_a_name_of_its_own():
    names = [row.experiment for row in ablation.rows() if row.experiment != "HEAD"]
    assert len(names) == len(set(names)) > 20


def test_the_page_has_the_commands_and_shares():
    frame = pd.DataFrame(
        {
            "network": ["VGG16"],
            "change": ["larger images"],
            "val_accuracy": [0.91234],
            "test_accuracy": [0.9],
            "command": ["dvc exp run -S a=1 b"],
        }
    )
    page = ablation.page(frame)
    assert "| larger images | 91.23 % | 90.00 % |" in page
    assert "$ dvc exp run -S a=1 b" in page
