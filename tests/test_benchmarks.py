"""`benchmarks/`: the ratios, the goals, the page; and every rival does its work on few images."""

import importlib.util
import subprocess
import sys

import pytest

from benchmarks import __main__ as program
from benchmarks import works
from benchmarks.works import PIPELINE, WORKS, Rival, Work
from stages.base.files import read_json
from tests.project import ROOT


def counting(images: int, times: int):
    return lambda: sum(range(1000 * times))


def test_a_ratio_is_the_pipelines_speed_divided_by_a_rivals(tmp_path, monkeypatch, capsys):
    rivals = {
        PIPELINE: Rival(counting, (100,)),
        "slow": Rival(counting, (10_000,), goal=2),
        "fast": Rival(counting, (1,), goal=1),
        "in parts": Rival(counting, (100,), share=0.01, goal=2),
        "absent": Rival(counting, (1,), needs="no_such_package"),
    }
    monkeypatch.setitem(WORKS, "counting", Work("Counting", 100, rivals))
    path = tmp_path / "results.json"
    monkeypatch.setattr(
        "sys.argv", ["benchmarks", "counting", "--seconds", "0.05", "--target", str(path)]
    )
    program.main()
    measured = read_json(path)["works"]["counting"]["rivals"]
    assert set(measured) == {PIPELINE, "slow", "fast", "in parts"}
    ratios = {name: each.get("pipeline_times_as_fast") for name, each in measured.items()}
    # 100, 0.01 and 100 on a quiet machine.
    assert ratios["slow"] > 5 > 0.2 > ratios["fast"]
    assert ratios["in parts"] > 5
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if "(" in line]
    met = {row[1]: row[4].rstrip(" |") for row in rows[1:]}
    assert met == {"slow": "yes", "fast": "no", "in parts": "yes"}
    assert path.with_suffix(".png").exists()


def test_the_page_has_the_table_of_the_committed_run():
    page = (ROOT / "docs/speed.md").read_text(encoding="utf-8")
    content = read_json(ROOT / "benchmarks/results.json")
    assert content["date"] in page
    for row in program.table(content)[2:]:
        assert row in page


@pytest.mark.long
@pytest.mark.parametrize("work", ["lenet-improved", "resnet-transfer"])
def test_every_rival_does_its_work(monkeypatch, work):
    from stages.training.keras_setup import keras  # not at the top, for the rivals' processes

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(works, "EPOCHS", 1)
    try:
        for rival in WORKS[work].rivals.values():
            if not rival.needs or importlib.util.find_spec(rival.needs):
                rival.prepare(8, *rival.arguments)()
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.long
def test_the_program_measures(tmp_path):
    path = tmp_path / "results.json"
    options = ["--rounds", "1", "--seconds", "0", "--target", str(path)]
    command = [sys.executable, "-m", "benchmarks", "resnet-features-study", *options]
    subprocess.run(command, cwd=ROOT, check=True)
    rivals = read_json(path)["works"]["resnet-features-study"]["rivals"]
    assert set(rivals) == {PIPELINE, "`model.predict`"}
