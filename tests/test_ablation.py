"""The committed ablation belongs to `ablation.yaml`, and its numbers to the committed metrics."""

import re

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


@pytest.mark.parametrize("prefix", ["", "loss_"])
@pytest.mark.parametrize("network", TABLE["network"].unique())
def test_a_difference_is_to_the_row_above(network, prefix):
    rows = TABLE[TABLE["network"] == network]
    means = rows[f"{prefix}mean"].diff().iloc[1:]
    columns = [f"{prefix}{name}" for name in ("difference", "low", "high", "significant")]
    differences, low, high = (rows[name].iloc[1:].astype(float) for name in columns[:3])
    assert differences.to_numpy() == pytest.approx(means.to_numpy(), abs=2e-6)
    assert ((low < differences) & (differences < high)).all()
    assert (rows[columns[3]].iloc[1:] == "yes").equals((low > 0) | (high < 0))


def test_the_rows_are_made_from_the_metrics():
    settings = params.load(ROOT / "params.yaml")
    study, improved = ablation.rows(ROOT, settings, "lenet")
    assert improved["difference"] == pytest.approx(improved["mean"] - study["mean"])
    assert improved["low"] > 0
    assert improved["loss_high"] < 0
    assert (improved["significant"], improved["loss_significant"]) == ("yes", "yes")
    same = ablation.numbers(pd.Series([0.5, 0.6]), pd.Series([0.6, 0.5]))
    assert same["significant"] == "no"


def test_the_page_has_the_table():
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    shown = re.findall(r"\| (\d\d\.\d\d) ± (\d\.\d\d) % \| (.*?) ?\|\n", page)
    expected = []
    for row in TABLE.itertuples():
        text = ""
        if row.difference:
            ends = [f"{100 * float(end):.2f}" for end in (row.difference, row.low, row.high)]
            text = "{} ({} to {})".format(*ends) + ", not significant" * (row.significant == "no")
        expected.append((f"{100 * row.mean:.2f}", f"{100 * row.standard_deviation:.2f}", text))
    assert shown == expected


def test_a_recipe_of_the_params_has_the_committed_numbers():
    compared = read_json(ROOT / "metrics/compare.json")
    shared = TABLE[TABLE["recipe"].isin(["study", "improved"])]
    for row in shared.itertuples():
        name = f"{row.network}_{row.recipe}_test_accuracy"
        assert row.mean == pytest.approx(compared[name], abs=1e-5)
        assert row.standard_deviation == pytest.approx(compared[f"{name}_sd"], abs=1e-5)
        loss = compared[f"{row.network}_{row.recipe}_test_loss"]
        assert row.loss_mean == pytest.approx(loss, abs=1e-5)
