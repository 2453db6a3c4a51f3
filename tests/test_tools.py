"""The commands beside the stages: what will run, how long it took."""

import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from stages.base.files import read_yaml, write_json, write_yaml
from stages.cli import InputError
from stages.report.inputs import FULL_RUN
from tests.project import ROOT, git, set_params
from tools import plan, times, verify


def written(folder) -> dict[str, float]:
    return dict(pd.read_csv(folder / times.TIMES)[["stage", "seconds"]].itertuples(index=False))


@pytest.mark.slow
def test_the_plan_names_what_follows_from_a_change_and_its_time(scratch, monkeypatch, capsys):
    monkeypatch.chdir(scratch)
    plan.main()
    assert capsys.readouterr().out == "Nothing to run: all 22 stages are up to date.\n"
    set_params(scratch, {"vgg.study.dense_units": 64})
    plan.main()
    printed = capsys.readouterr().out
    begins, _, *lines = printed.splitlines()
    assert begins.startswith("To run: at most 5 of 22 stages, about 0.")
    assert [line.split()[1] for line in lines[:2]] == ["vgg@study", "evaluate_vgg@study"]
    assert {line.split()[1] for line in lines[2:]} == {"compare", "misclassified", "report"}


def test_a_pipeline_that_dvc_cannot_read_is_one_error(project):
    folder = project / "copy"
    project.copy_project(folder)
    (folder / "dvc.yaml").write_text("stages: 3\n")
    command = [sys.executable, "-m", "tools.plan"]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "plan: error: './dvc.yaml' validation failed; `dvc status` says more of it\n"
    )


def test_a_stage_that_never_ran_is_taken_for_the_mean_of_its_like():
    seconds = {"cv_lenet@study-1": 60.0, "cv_lenet@study-2": 120.0, "resnet@study": 5.0}
    assert plan.estimate("cv_lenet@study-2", seconds) == (120.0, "")
    assert plan.estimate("cv_lenet@new-1", seconds) == (
        90.0,
        "never ran: mean of 2 other cv_lenet",
    )
    assert plan.estimate("vgg@study", seconds) == (None, "no time known")


@pytest.mark.parametrize(("source", "counts"), [("fashion_mnist", True), ("sample", False)])
def test_the_repositorys_own_run_tells_of_its_own_images_alone(project, source, counts):
    set_params(project, {"data.source": source})
    (project / FULL_RUN).parent.mkdir(parents=True)
    shutil.copy(ROOT / FULL_RUN, project / FULL_RUN)
    assert ("tune" in plan.known()) == counts


@pytest.mark.slow
def test_the_times_are_of_the_last_run_here(scratch, monkeypatch, capsys):
    monkeypatch.chdir(scratch)
    assert times.here() == written(scratch)
    set_params(scratch, {"data.source": "fashion_mnist"})
    assert times.here() == {}, "they are those of the sample"
    set_params(scratch, {"data.source": "sample"})
    (scratch / times.TIMES).unlink()
    assert times.here() == {}
    assert times.anywhere()["cv_lenet@study-1"] > 60, "of the repository's own run"


def run_verify(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tools.verify", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_verify_tells_the_same_bytes_from_others(scratch):
    lock = read_yaml(scratch / "dvc.lock")
    train = next(out for out in lock["stages"]["encode"]["outs"] if out["path"].endswith("train"))
    train["md5"] = "0" * 32 + ".dir"
    (scratch / "dvc.lock").write_text(yaml.safe_dump(lock))
    found = run_verify(scratch, "encode")
    assert found.returncode == 1
    assert "OTHER  data/encoded/train" in found.stdout
    assert "same  data/encoded/test" in found.stdout
    assert "verify: error: 1 of 2 outputs have other bytes" in found.stderr
    git(scratch, "restore", "dvc.lock")
    found = run_verify(scratch, "resnet@study")
    assert "same  models/resnet/study" in found.stdout
    assert found.stdout.endswith("verify: all 1 outputs have the same bytes\n")
    assert "name one that it has" in run_verify(scratch, "nothing").stderr


def runs_of_the_demo(folder: Path, **changed: str) -> list[Path]:
    """Three runs of two stages, of which the second reads what the first writes.

    Args:
        changed: other bytes, by the name of the run and the output.
    """
    runs = [folder / name for name in ("first", "second", "third")]
    for run in runs:
        trained = changed.get(f"{run.name}_model", "a model")
        other = changed.get(f"{run.name}_data", "an array")
        accuracy = 0.5 if trained == "a model" else 0.625
        data, model = {"path": "data", "md5": other}, {"path": "model", "md5": trained}
        written = {"path": "metrics", "md5": f"of {trained}"}
        stages = {
            "encode": {"deps": [], "outs": [data]},
            "fit": {"deps": [data], "outs": [model]},
            "evaluate": {"deps": [model], "outs": [written]},
        }
        write_yaml(run / "dvc.lock", {"stages": stages})
        numbers = {"test_accuracy": accuracy, "val_accuracy": 0.5, "test_loss": 1.5, "epoch": 3}
        write_json(run / "metrics/fit.json", numbers)
    return runs


def verify_the_demo(runs: list[Path], monkeypatch) -> None:
    waiting = iter(runs)
    monkeypatch.setattr(verify, "FOLDER", runs[0].parent)
    monkeypatch.setattr(verify, "run_demo", lambda name, environment: next(waiting))
    monkeypatch.setattr(verify.shutil, "rmtree", lambda folder, **_: None)
    verify.main(None)


def test_verify_wants_the_same_bytes_of_as_many_threads(tmp_path, monkeypatch, capsys):
    runs = runs_of_the_demo(tmp_path, second_model="another")
    with pytest.raises(InputError, match="2 of 3 outputs have other bytes; both runs lie in"):
        verify_the_demo(runs, monkeypatch)
    assert "same  data\nOTHER  metrics\nOTHER  model\n" in capsys.readouterr().out


def test_verify_tells_what_one_thread_changes(tmp_path, monkeypatch, capsys):
    verify_the_demo(runs_of_the_demo(tmp_path, third_model="another"), monkeypatch)
    printed = capsys.readouterr().out
    assert "OTHER" not in printed
    assert printed.endswith(
        "verify: with one thread 2 of 3 outputs have other bytes\n"
        "other with one thread  metrics\n"
        "other with one thread  model\n"
        "it begins in  fit\n"
        "moved  metrics/fit.json: accuracy by up to 0.12 (test_accuracy: 0.5, then 0.625)\n"
        "verify: all 3 outputs have the same bytes with the same number of threads\n"
    )


def test_verify_says_if_one_thread_changes_nothing(tmp_path, monkeypatch, capsys):
    verify_the_demo(runs_of_the_demo(tmp_path), monkeypatch)
    assert (
        "with one thread 0 of 3 outputs have other bytes\nverify: all 3" in capsys.readouterr().out
    )
