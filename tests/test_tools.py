"""The commands beside the stages: what will run, how long it took."""

import pandas as pd
import pytest

from tools import plan, times
from tools.demo import set_params


def written(folder) -> dict[str, float]:
    return dict(
        pd.read_csv(folder / ".work/times.csv")[["stage", "seconds"]].itertuples(index=False)
    )


@pytest.mark.slow
def test_the_plan_names_what_follows_from_a_change_and_its_time(scratch, monkeypatch, capsys):
    monkeypatch.chdir(scratch)
    plan.main()
    assert capsys.readouterr().out == ""
    set_params(scratch, {"vgg.study.dense_units": 64})
    plan.main()
    printed = capsys.readouterr().out
    assert "vgg@study, evaluate_vgg@study" in printed
    for stage in ("compare", "misclassified", "report"):
        assert stage in printed
    assert "resnet" not in printed.replace("evaluate_", "")
    assert "When they ran last they took 0." in printed


@pytest.mark.slow
def test_the_times_are_of_the_last_run_here(scratch, monkeypatch, capsys):
    monkeypatch.chdir(scratch)
    assert times.here() == written(scratch)
    (scratch / ".work/times.csv").unlink()
    assert times.here() == {}
    assert times.anywhere()["cv_lenet@study-1"] > 60, "of the repository's own run"
