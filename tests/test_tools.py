"""The commands beside the stages: what will run, how long it took."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from stages.common.files import read_yaml
from tools import plan, times
from tools.demo import git, set_params


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


def verify(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tools.verify", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_verify_tells_the_same_bytes_from_others(scratch):
    lock = read_yaml(scratch / "dvc.lock")
    train = next(out for out in lock["stages"]["encode"]["outs"] if out["path"].endswith("train"))
    train["md5"] = "0" * 32 + ".dir"
    (scratch / "dvc.lock").write_text(yaml.safe_dump(lock))
    found = verify(scratch, "encode")
    assert found.returncode == 1
    assert "OTHER  data/encoded/train" in found.stdout
    assert "same  data/encoded/test" in found.stdout
    assert "verify: error: 1 of 2 outputs have other bytes" in found.stderr
    git(scratch, "restore", "dvc.lock")
    found = verify(scratch, "resnet@study")
    assert "same  models/resnet/study" in found.stdout
    assert found.stdout.endswith("verify: all 1 outputs have the same bytes\n")
    assert "name one that it has" in verify(scratch, "nothing").stderr
