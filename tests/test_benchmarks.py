"""`benchmarks/`: the ratios, the goals, the page; and every rival does its work on few images."""

import pytest

from benchmarks import __main__ as program
from benchmarks.works import PIPELINE, TORCH, WORKS, Work
from stages.base.files import read_json
from tests.project import ROOT


def counting(images: int, network: str):
    return lambda: sum(range(100_000))


def slow(images: int, network: str):
    return lambda: sum(range(5_000_000))


def fast(images: int, network: str):
    return lambda: sum(range(1_000))


def test_a_ratio_is_the_pipelines_speed_divided_by_a_rivals(monkeypatch):
    monkeypatch.setattr(program, "ROUNDS", 1)
    monkeypatch.setattr(program, "SECONDS", 0.5)  # a single pass may be interrupted
    rivals = {PIPELINE: counting, "slow": slow, "fast": fast}
    rows = program.measure(Work("Counting", "lenet", 100, goal=5, rivals=rivals))
    lines = program.table({"rows": rows})
    assert [line.split(" | ")[-1] for line in lines[2:]] == ["yes |", "no |"]
    assert rows[2]["pipeline_times_as_fast"] < 0.2


def test_the_page_has_the_table_of_the_committed_run():
    page = (ROOT / "docs/speed.md").read_text(encoding="utf-8")
    content = read_json(ROOT / "benchmarks/results.json")
    assert content["date"] in page
    assert "\n".join(program.table(content)) in page


@pytest.mark.long
@pytest.mark.parametrize("work", WORKS[:2], ids=lambda w: w.title)
def test_every_rival_does_its_work(monkeypatch, work):
    monkeypatch.chdir(ROOT)
    for name, rival in work.rivals.items():
        if name == TORCH:
            pytest.importorskip("torch")
        rival(8, work.network)()
