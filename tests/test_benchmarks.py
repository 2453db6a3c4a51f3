"""`benchmarks/`: what is measured, and how ratios are taken."""

import json

import pytest

from benchmarks import profile, rounds, show
from benchmarks.rounds import PIPELINE, Pass, Rival, Work


def work_of(amount: float) -> Pass:
    """Passes that all last the same, and do so much."""
    return amount, lambda: sum(range(1000))


def broken() -> Pass:
    raise ValueError("no such network")


def measure(**rivals: Rival) -> dict:
    work = Work("Adding", {PIPELINE: Rival(work_of, (100.0,)), **rivals}, limits=("most",))
    return rounds.run(work, rounds=3, seconds=0.02) | {"load_average": {"before": 0, "after": 0}}


def test_a_ratio_is_the_pipelines_speed_divided_by_a_rivals():
    found = measure(rival=Rival(work_of, (1.0,)), most=Rival(work_of, (10_000.0,)))
    ratios = found["pipeline_times_as_fast"]
    assert 10 < ratios["rival"]["median"] < 1000
    assert 0.001 < ratios["most"]["median"] < 0.1
    for name, ratio in ratios.items():
        rates = found["images_a_second"]
        pairs = zip(rates[PIPELINE]["rounds"], rates[name]["rounds"], strict=True)
        assert ratio["rounds"] == pytest.approx([ours / theirs for ours, theirs in pairs], rel=0.01)
    assert json.loads(json.dumps(found)) == found
    shown = show.table(found)
    assert "times as fast" in shown
    assert "share of it" in shown


def test_a_rival_that_is_not_installed_is_left_out():
    found = measure(absent=Rival(broken, needs="no_such_package"))
    assert found["left_out"] == {"absent": "no_such_package is not installed"}
    assert list(found["images_a_second"]) == [PIPELINE]
    assert "absent: left out, no_such_package is not installed" in show.table(found)


def test_a_rival_that_fails_ends_the_run():
    with pytest.raises(ValueError, match="no such network"):
        measure(bad=Rival(broken))


def test_each_rival_has_an_environment_of_its_own(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    found = measure(rival=Rival(work_by_environment, environment={"AMOUNT": "1"}))
    assert found["pipeline_times_as_fast"]["rival"]["median"] > 10


def work_by_environment() -> Pass:
    import os

    assert "TF_ENABLE_ONEDNN_OPTS" not in os.environ
    return work_of(float(os.environ["AMOUNT"]))


def test_a_profile_counts_what_onednn_computes():
    convolution = "mb64_ic32oc48_ih14oh10kh5sh1dh0ph0_iw14ow10kw5sw1dw0pw0"
    assert profile.flop("convolution", convolution) == 2 * 64 * 32 * 48 * 10 * 10 * 5 * 5
    assert profile.flop("matmul", "64x248:248x1200") == 2 * 64 * 248 * 1200
    assert profile.flop("inner_product", "mb64ic1200oc248") == 2 * 64 * 1200 * 248
    assert profile.flop("reorder", "48x32x5x5") == 0


def test_a_profile_puts_operations_of_a_kind_together():
    convolution = "StatefulPartitionedCall/gradient_tape/x/conv_2_1/Conv2D/Backprop:_MklConv2D"
    assert profile.kind_of(convolution) == "_MklConv2D"
    assert profile.kind_of("StatefulPartitionedCall/adam/Sqrt_9:Sqrt") == "Adam, all of it"
    assert profile.kind_of("MatMul_1.4") == "MatMul, by XLA"
    assert profile.kind_of("ExecutorState::Process") is None
