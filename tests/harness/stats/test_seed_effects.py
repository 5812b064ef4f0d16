"""Verdicts over seeds: each needs the t interval and the sign-flip test, and is wrong no more often than stated."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from fathom.harness.stats.seed_effects import average, sign_flip_p, verdicts_of_groups, weigh


def test_the_interval_is_that_of_a_t_test():
    values = (0.2, 0.35, 0.1, 0.3, 0.25)
    found, expected = average(values).interval, ttest_1samp(values, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.001)


def test_one_seed_has_no_interval():
    with pytest.raises(ValueError, match="two or more"):
        average([0.5])


def test_five_seeds_on_one_side_have_a_p_of_one_in_32():
    assert sign_flip_p([1, 2, 3, 4, 5], 0) == 1 / 32
    assert sign_flip_p([1, 2, 3, 4, 5], 1.5) == 3 / 32
    assert sign_flip_p([-1, 1], 0) == 3 / 4


def test_many_seeds_are_flipped_at_random_and_never_get_a_p_of_0():
    assert 0 < sign_flip_p([1.0] * 40, 0) < 0.001


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.3, 0.32, 0.28, 0.31, 0.29), "shown"),
        ((0.01, -0.02, 0.0, 0.02, -0.01), "absent"),
        ((-0.3, -0.32, -0.28, -0.31, -0.29), "reversed"),
        ((0.5, -0.3, 0.2, 0.1, 0.4), "undecided"),
        ((0.3, 0.32, 0.28, 0.31), "undecided"),
    ],
)
def test_a_verdict_says_where_the_interval_lies(values, verdict):
    assert weigh(average(values), 0.1, alike=False) == verdict


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.01, -0.02, 0.0, 0.02, -0.01), "shown"),
        ((0.3, 0.32, 0.28, 0.31, 0.29), "reversed"),
        ((-0.3, -0.32, -0.28, -0.31, -0.29), "reversed"),
        ((0.2, -0.1, 0.1, 0.0, 0.05), "undecided"),
    ],
)
def test_a_law_of_sameness_is_shown_within_the_margin(values, verdict):
    assert weigh(average(values), 0.1, alike=True) == verdict


def test_without_an_effect_one_run_in_twenty_is_shown_or_reversed():
    drawn = np.random.default_rng(1).normal(size=5 * 1500)
    said = verdicts_of_groups(list(drawn), 5, 0.0, alike=False)
    assert len(said) == 1500
    assert 0.02 < sum(one in ("shown", "reversed") for one in said) / len(said) < 0.05 + 3 * (0.05 * 0.95 / 1500) ** 0.5
