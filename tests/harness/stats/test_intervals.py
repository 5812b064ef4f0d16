from math import inf

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import binomtest

from fathom.harness.stats.intervals import (
    Rung,
    corrected_accuracy,
    depth50,
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


@pytest.mark.parametrize(("true", "steepness", "chance"), [(1.5, 3, 0.14), (3, 1.5, 0.5), (5, 8, 0.02), (6.5, 2, 0.25)])
def test_the_depth_of_many_items_is_the_true_one(true, steepness, chance):
    n = 100_000
    found = depth50(rungs((curve(true, steepness, chance) * n).round().astype(int), n, chance))
    assert found.value == pytest.approx(true, rel=0.03)
    assert found.interval.low <= found.value <= found.interval.high


def test_the_depth_agrees_with_a_fit_by_scipy():
    rights, chance = [49, 44, 33, 20, 12, 9], 1 / 7

    def cost(parameters):
        p = curve(np.exp(parameters[0]), np.exp(parameters[1]), chance)
        k = np.array(rights)
        return -(k * np.log(p) + (50 - k) * np.log(1 - p)).sum()

    best = minimize(cost, [1.0, 0.5], method="Nelder-Mead")
    assert depth50(rungs(rights)).value == pytest.approx(np.exp(best.x[0]), rel=0.03)


def test_the_interval_of_a_depth_holds_the_truth_nearly_as_often_as_it_says():
    rng = np.random.default_rng(2)
    held = 0
    for number in range(150):
        found = depth50(rungs(rng.binomial(40, curve(3, 2, 0.2)), 40, 0.2), seed=number)
        held += found.interval.low <= 3 <= found.interval.high
    assert held / 150 >= 0.89


def test_a_depth_beyond_the_levels_asked_says_so():
    assert depth50(rungs([50] * 6)).value == inf
    assert depth50(rungs([7] * 6)).value == -inf
    assert depth50([Rung(2, 5, 10, 0.1)]) is None
    assert depth50([Rung(2, 5, 10, 0.1), Rung(2, 6, 10, 0.1)]) is None
    assert depth50([Rung(2, 5, 10, 0.1), Rung(4, 0, 0, 0.1)]) is None


def test_a_fall_between_two_levels_leaves_all_between_them_open():
    found = depth50(rungs([50, 50, 50, 7, 7, 7]))
    assert 2.9 < found.interval.low < 3.2 < found.value < 3.8 < found.interval.high < 4.1
    assert found.interval.low < 3.1 < 3.9 < found.interval.high


def test_a_depth_is_the_same_every_time():
    assert depth50(rungs([49, 44, 33, 20, 12, 9])) == depth50(rungs([49, 44, 33, 20, 12, 9]))


def test_label_shares_are_of_wrong_answers():
    assert label_shares({"correct": 90, "b": 3, "a": 6, "c": 1, "d": 0}) == {"a": 0.6, "b": 0.3, "c": 0.1}
    assert label_shares({"correct": 3}) == {}
