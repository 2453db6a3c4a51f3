"""`benchmarks/`: what is measured, and how ratios are taken."""

import json

import pytest

from benchmarks import backends, heads, lenet, profile, rounds, show, transfer, whole
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


def test_the_study_is_extrapolated_by_the_formula_of_the_page():
    """60,000 images' features once; 30 epochs of 48,000 images and 12,000 that validate."""
    rates = {
        transfer.FEATURES: 100.0,  # 600 seconds
        transfer.HEAD: 1000.0,  # 30 times 48
        transfer.VALIDATED: 4000.0,  # 30 times 3
        transfer.TRAINED: 50.0,  # 30 times 960
        transfer.EVALUATED: 120.0,  # 30 times 100
    }
    found = transfer.extrapolate(rates)
    assert found["minutes, features once"] == pytest.approx((600 + 1440 + 90) / 60)
    assert found["of these, for the features"] == pytest.approx(10)
    assert found["minutes, the network in every epoch"] == pytest.approx(31_800 / 60)
    assert found[transfer.TIMES_AS_FAST] == pytest.approx(31_800 / 2_130)


def test_products_and_copies_follow_each_other():
    rates = {heads.PRODUCTS: 300.0, heads.COPIES: 600.0, PIPELINE: 150.0}
    assert heads.times_the_limit(rates) == {
        "images a second, products and copies": pytest.approx(200),
        "of that": pytest.approx(0.75),
    }


def test_the_work_of_lenet_is_that_of_its_layers():
    """Two operations a weight and place; the first layer's inputs need no gradient."""
    first, second = 28 * 28 * 32 * 25, 10 * 10 * 48 * 25 * 32
    dense = 1200 * 248 + 248 * 84 + 84 * 10
    assert pytest.approx(2 * (2 * first + 3 * second + 3 * dense), rel=0.01) == lenet.FLOP


@pytest.mark.parametrize(("jax", "agree"), [([0.76, 0.78], True), ([0.86, 0.88], False)])
def test_backends_agree_within_the_spread_of_seeds(jax, agree):
    found = backends.verdict({"tensorflow": [0.75, 0.78], "jax": jax})
    assert (found["between_backends"] <= found["between_seeds"]) == agree
    assert found["between_seeds"] == pytest.approx(0.03)


def test_dvcs_share_counts_stages_and_bytes(monkeypatch):
    lock = {"stages": {"a": {"outs": [{"size": 3e9}]}, "b": {"outs": [{"size": 1e9}]}}}
    times = {"seconds": {"a": 60, "b": 30}}
    read = {whole.LOCK: lock, whole.FULL_RUN: times}
    monkeypatch.setattr(whole, "read_yaml", read.get)
    monkeypatch.setattr(whole, "seconds_for_a_gigabyte", lambda: 2.0)
    found = whole.full_run(1.0)
    assert found["dvcs_seconds"] == pytest.approx(2 * 1 + 4 * 2)
    assert found["dvcs_share"] == pytest.approx(0.1)
