from math import inf, log2

import numpy as np
import pytest
from scipy.optimize import minimize

from fathom.harness.stats.depth import Design, check_fit, depth50, depth_difference, next_step
from fathom.harness.stats.intervals import Rung
from tests.harness.stats.depth_simulation import CHANCE, LEVELS, SHAPES, Shape, adaptive, falling, simulate, width

HARDNESS = (1, 2, 3, 4, 6, 8)


def rungs(rights, n=50, chance=1 / 7, hardness=HARDNESS):
    return [Rung(one, k, n, chance) for one, k in zip(hardness, rights, strict=True)]


def curve(depth, steepness, chance, hardness=HARDNESS):
    return np.array([chance + (1 - chance) / (1 + (one / depth) ** steepness) for one in hardness])


@pytest.mark.parametrize(("true", "steepness", "chance"), [(1.5, 3, 0.14), (3, 1.5, 0.5), (5, 8, 0.02), (6.5, 2, 0.25)])
def test_the_depth_of_many_items_is_the_true_one(true, steepness, chance):
    n = 10_000
    found = depth50(rungs((curve(true, steepness, chance) * n).round().astype(int), n, chance))
    assert found.value == pytest.approx(true, rel=0.05)
    assert found.interval.low <= found.value <= found.interval.high


@pytest.mark.parametrize("lapse", [0.1, 0.3])
def test_lapses_make_a_depth_smaller_and_are_told_from_it(lapse):
    share = falling(3, 4, lapse)
    n = 20_000
    rights = [round(n * (0.2 + 0.8 * share(h))) for h in HARDNESS]
    assert depth50(rungs(rights, n, 0.2)).value == pytest.approx(3, rel=0.06)


def test_the_depth_agrees_with_a_fit_by_scipy():
    rights, chance = [49, 44, 33, 20, 12, 9], 1 / 7

    def cost(parameters):
        p = curve(np.exp(parameters[0]), np.exp(parameters[1]), chance)
        k = np.array(rights)
        return -(k * np.log(p) + (50 - k) * np.log(1 - p)).sum()

    best = minimize(cost, [1.0, 0.5], method="Nelder-Mead")
    assert depth50(rungs(rights)).value == pytest.approx(np.exp(best.x[0]), rel=0.06)


def test_the_interval_of_a_depth_holds_the_truth_nearly_as_often_as_it_says():
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(150):
        found = depth50(rungs(rng.binomial(40, curve(3, 2, 0.2)), 40, 0.2))
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


def test_a_depth_is_the_same_every_time():
    assert depth50(rungs([49, 44, 33, 20, 12, 9])) == depth50(rungs([49, 44, 33, 20, 12, 9]))


def test_repeated_answers_count_as_fewer():
    rights = [49, 44, 33, 20, 12, 9]
    four_times = [Rung(one.hardness, one.k, one.n, one.chance, 4.0) for one in rungs(rights)]
    alone, again = depth50(rungs(rights)), depth50(four_times)
    assert log2(again.interval.high / again.interval.low) > 1.5 * log2(alone.interval.high / alone.interval.low)


def test_answers_of_a_falling_curve_fit_and_those_of_another_do_not():
    assert not check_fit(rungs([49, 44, 33, 20, 12, 9])).is_poor
    assert check_fit(rungs([49, 12, 44, 9, 40, 8])).is_poor
    assert check_fit(rungs([49, 44], hardness=(1, 2))) is None


def test_a_model_below_chance_is_no_odd_curve():
    assert not check_fit(rungs([0, 0, 1, 0, 0, 0], 20, 0.25)).is_poor
    assert not check_fit(rungs([20, 19, 12, 1, 0, 0], 20, 0.25)).is_poor


def test_the_check_seldom_complains_of_a_curve_of_its_own_form():
    random, true = np.random.default_rng(3), curve(3, 2, 0.2)
    poor = sum(check_fit(rungs(random.binomial(20, true), 20, 0.2)).is_poor for _ in range(200))
    assert poor <= 4


def test_the_first_pass_asks_every_level_and_later_batches_one():
    open_ladder = [Rung(h, 0, 0, 0.2) for h in HARDNESS]
    assert next_step(open_ladder, Design()).asks == tuple((at, 2) for at in range(6))
    asked = rungs([2, 2, 2, 0, 0, 0], 2, 0.2)
    step = next_step(asked, Design())
    assert step == next_step(asked, Design())
    ((at, n),) = step.asks
    assert 1 <= at <= 4  # near the fall, not at the ends
    assert n == 8


def test_no_more_is_asked_than_allowed():
    some, reason = adaptive(SHAPES["shallow"], Design(max_items=100), np.random.default_rng(0))
    assert sum(rung.n for rung in some) == 100
    assert reason == "spent"


@pytest.mark.parametrize(("name", "reason"), [("perfect", "above"), ("at chance", "below"), ("steep", "narrow")])
def test_a_measurement_says_why_it_ended(name, reason):
    some, found = adaptive(SHAPES[name], Design(), np.random.default_rng(1))
    assert found == reason
    if reason == "narrow":
        assert width(some) <= 0.5
    if reason == "above":
        assert depth50(some).interval.low == inf


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape.fits])
@pytest.mark.cases(2)
def test_the_interval_of_an_adaptive_measurement_holds_the_depth(name):
    found = simulate(name, 20)
    assert found["held"] >= 0.75  # 95% of 20, less four standard errors
    assert found["poor"] <= 0.1


def test_an_adaptive_measurement_takes_a_third_of_the_items():
    assert simulate("steep", 25)["ratio"] < 0.45
    assert simulate("lapses", 10)["ratio"] < 0.5


def test_a_model_that_is_right_at_every_other_level_is_told():
    found = simulate("non-monotone", 20)
    assert found["poor"] >= 0.9
    assert len(LEVELS) == 13
    assert CHANCE < 0.2


def pairs(first, second, n_runs, design=Design()):
    """Compare two simulated models `n_runs` times: p values, and how many items both took."""
    found, items, random = [], [], np.random.default_rng(7)
    for _ in range(n_runs):
        one, other = (adaptive(Shape(curve, 0), design, random)[0] for curve in (first, second))
        found.append(depth_difference(one, other))
        items.append(sum(rung.n for rung in (*one, *other)))
    return found, items


def test_a_model_is_no_deeper_than_itself():
    found, _ = pairs(falling(6, 3), falling(6, 3), 25)
    assert sum(one.p < 0.05 for one in found) <= 5  # 5% of 25, and what four standard errors add


def test_twice_the_depth_is_told_apart_and_stated():
    found, _ = pairs(falling(5, 4), falling(10, 4), 15)
    assert sum(one.p < 0.05 and one.doublings.value > 0 for one in found) >= 14
    assert np.median([one.doublings.value for one in found]) == pytest.approx(1, abs=0.25)


def test_a_difference_beyond_the_ladder_is_bounded():
    above, below = rungs([50] * 6), rungs([8] * 6)
    one = depth_difference(below, above)
    assert not one.is_bounded
    assert one.doublings.value == pytest.approx(3, abs=0.2)
    assert depth_difference(above, above).doublings.value == 0
    assert depth_difference(above, [Rung(1, 1, 2, 0.1)]) is None
