import numpy as np
import pytest
from scipy.stats import binomtest

from fathom.harness.stats.intervals import (
    Rung,
    corrected_accuracy,
    label_shares,
    ladder_mean,
    mean_of,
    style_gap,
    wilson,
)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 50), (50, 50), (7, 10), (713, 1000), (1, 100_000)])
def test_wilson_agrees_with_scipy(k, n):
    expected = binomtest(k, n).proportion_ci(0.95, method="wilson")
    found = wilson(k, n)
    assert found.low == pytest.approx(expected.low, abs=1e-12)
    assert found.high == pytest.approx(expected.high, abs=1e-12)


def test_nothing_asked_tells_nothing():
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3)])
def test_counts_that_are_no_share_are_refused(k, n):
    with pytest.raises(ValueError, match="between 0 and n"):
        wilson(k, n)


HARDNESS = (1, 2, 3, 4, 6, 8)


def rungs(rights, n=50, chance=1 / 7, hardness=HARDNESS):
    return [Rung(one, k, n, chance) for one, k in zip(hardness, rights, strict=True)]


def curve(depth, steepness, chance, hardness=HARDNESS):
    return np.array([chance + (1 - chance) / (1 + (one / depth) ** steepness) for one in hardness])


def test_correction_puts_a_guesser_at_0_and_a_perfect_model_at_1():
    assert corrected_accuracy(25, 100, 0.25) == 0
    assert corrected_accuracy(100, 100, 0.25) == 1
    assert corrected_accuracy(0, 100, 0.25) == pytest.approx(-1 / 3)
    with pytest.raises(ValueError, match="below 1"):
        corrected_accuracy(3, 4, 1.0)


def test_the_mean_of_a_ladder_weighs_its_levels_alike():
    found = ladder_mean([Rung(1, 10, 10, 0.0), Rung(2, 0, 1000, 0.0), Rung(3, 0, 0, 0.0)])
    assert found.value == 0.5
    assert found.interval.low < 0.5 < found.interval.high


def test_the_interval_of_a_mean_holds_the_truth_nearly_as_often_as_it_says():
    rng, truth = np.random.default_rng(1), curve(3, 2, 0.2)
    true_mean = float(np.mean((truth - 0.2) / 0.8))
    held = 0
    for _ in range(400):
        interval = ladder_mean(rungs(rng.binomial(30, truth), 30, 0.2)).interval
        held += interval.low <= true_mean <= interval.high
    assert 0.92 <= held / 400 <= 0.99


def test_means_of_means_and_gaps_add_their_uncertainty():
    low, high = rungs([10] * 6), rungs([40] * 6)
    one, other = ladder_mean(low), ladder_mean(high)
    both = mean_of([one, other])
    assert both.value == pytest.approx((one.value + other.value) / 2)
    rise = style_gap(low, high)
    assert rise.value == pytest.approx(other.value - one.value)
    width = lambda interval: interval.high - interval.low  # noqa: E731
    assert width(rise.interval) ** 2 == pytest.approx(width(one.interval) ** 2 + width(other.interval) ** 2)
    assert width(both.interval) == pytest.approx(width(rise.interval) / 2)


def test_label_shares_are_of_wrong_answers():
    assert label_shares({"correct": 90, "b": 3, "a": 6, "c": 1, "d": 0}) == {"a": 0.6, "b": 0.3, "c": 0.1}
    assert label_shares({"correct": 3}) == {}
