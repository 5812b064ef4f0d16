"""How many items would tell two models apart: checked by playing them."""

import numpy as np
import pytest
from scipy.stats import binomtest

from fathom.harness.stats.paired import mcnemar
from fathom.harness.stats.power import discordant_odds, exact_power, factor_to_separate, n_to_separate


def share_rejected(n, first, second, level, plays=4000):
    """Play two models that each alone gets these shares right; return how often the exact test rejects."""
    draw = np.random.default_rng(n)
    counts = draw.multinomial(n, [first, second, 1 - first - second], size=plays)[:, :2]
    known = {tuple(row): mcnemar(*map(int, row)) <= level for row in np.unique(counts, axis=0)}
    return np.mean([known[tuple(row)] for row in counts])


@pytest.mark.parametrize(("b", "c", "n", "level"), [(14, 9, 150, 0.05), (8, 1, 60, 0.05 / 4), (5, 0, 240, 0.05 / 8)])
def test_so_many_items_find_the_difference_in_four_of_five_plays(b, c, n, level):
    needed = n_to_separate(b, c, n, level)
    assert share_rejected(needed, b / n, c / n, level) == pytest.approx(0.8, abs=0.025)
    assert share_rejected(round(0.7 * needed), b / n, c / n, level) < 0.75


def test_the_power_is_that_of_the_exact_test():
    for n, first, second in ((30, 0.4, 0.1), (200, 0.08, 0.03), (9, 0.875, 0.125)):
        assert exact_power(n, first, second, 0.05) == pytest.approx(share_rejected(n, first, second, 0.05), abs=0.025)


def test_where_many_are_needed_the_approximation_takes_over_without_a_jump():
    exact, near = n_to_separate(100, 80, 2000, 0.05), n_to_separate(1000, 940, 20_000, 0.05)
    assert exact < 20_000 < near
    assert exact_power(near, 0.05, 0.047, 0.05) == pytest.approx(0.8, abs=0.01)


def test_equal_counts_suggest_nothing():
    assert n_to_separate(7, 7, 50, 0.05) is None
    assert factor_to_separate(0.0, 0.05) is None


def test_a_z_test_at_its_threshold_needs_about_twice_the_items():
    assert factor_to_separate(1.959964, 0.05) == pytest.approx((1 + 0.841621 / 1.959964) ** 2, rel=1e-4)


@pytest.mark.parametrize(("b", "c"), [(38, 12), (9, 14), (6, 0), (0, 5), (1, 1)])
def test_odds_are_those_of_scipys_exact_interval(b, c):
    found = discordant_odds(b, c)
    theirs = binomtest(b, b + c).proportion_ci(0.95, method="exact")
    for mine, share in ((found.interval.low, theirs.low), (found.interval.high, theirs.high)):
        assert mine == (pytest.approx(share / (1 - share)) if share < 1 else float("inf"))
    assert found.value == (pytest.approx(b / c) if c else float("inf"))
    assert (found.interval.low <= 1 <= found.interval.high) == (mcnemar(b, c) > 0.05)


def test_no_pair_has_no_odds():
    assert discordant_odds(0, 0) is None
