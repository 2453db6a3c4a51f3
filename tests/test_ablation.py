"""The committed ablation belongs to `ablation.yaml`, and its numbers to the committed metrics."""

import pandas as pd
import pytest

from stages import params
from stages.base.files import read_json
from tests.project import ROOT
from tools import ablation

SETTINGS = params.load(ROOT / "ablation.yaml")
TABLE = pd.read_csv(ROOT / ablation.OUTPUT, keep_default_na=False)


@pytest.mark.parametrize("network", TABLE["network"].unique())
def test_the_rows_are_the_recipes_with_their_changes(network):
    before, expected = {}, []
    for recipe in getattr(SETTINGS, network):
        now = ablation.settings_of(SETTINGS, network, recipe)
        expected.append((recipe, ablation.changes(before, now)))
        before = now
    rows = TABLE[TABLE["network"] == network]
    assert list(zip(rows["recipe"], rows["changes"], strict=True)) == expected


def test_a_recipe_of_the_params_has_the_committed_numbers():
    compared = read_json(ROOT / "metrics/compare.json")
    shared = TABLE[TABLE["recipe"].isin(["study", "improved"])]
    for row in shared.itertuples():
        name = f"{row.network}_{row.recipe}_test_accuracy"
        assert row.mean == pytest.approx(compared[name], abs=1e-5)
        loss = compared[f"{row.network}_{row.recipe}_test_loss"]
        assert row.loss_mean == pytest.approx(loss, abs=1e-5)
        assert row.standard_deviation == pytest.approx(compared[f"{name}_sd"], abs=1e-5)
