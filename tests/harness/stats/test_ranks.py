"""Ranks say how sure they are, by tests that scipy agrees with."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binomtest

from fathom.harness.stats.intervals import Estimate, Interval
from fathom.harness.stats.paired import mcnemar
from fathom.harness.stats.ranks import ALPHA, Contender, exact_p, rank_all

N = 400


def contender(right, seed="7", graded=None):
    right = np.asarray(right, dtype=bool)
    share, half = right.mean(), 1.96 * max(right.mean() * (1 - right.mean()), 0.01) ** 0.5 / len(right) ** 0.5
    graded = np.ones(len(right), dtype=bool) if graded is None else graded
    return Contender(seed, Estimate(share, Interval(share - half, share + half)), right, graded)


def first_right(n):
    return contender(np.arange(N) < n)


def play(skills, seed=0, n=N):
    """Play models of these skills on the same items of mixed difficulty."""
    draw = np.random.default_rng(seed)
    difficulty = draw.normal(0, 1.5, n)
    return [contender(draw.random(n) < 1 / (1 + np.exp(difficulty - skill))) for skill in skills]


def test_nobody_is_ranked_where_nobody_plays():
    assert rank_all([]) == ()


def test_a_model_alone_is_first_for_sure():
    (one,) = rank_all([first_right(3)])
    assert (one.rank, one.low, one.high, one.tie) == (1, 1, 1, 1)


def test_two_equal_models_share_a_rank_and_a_tie_group():
    first, second = rank_all([first_right(200), first_right(200)])
    assert first == second
    assert (first.rank, first.low, first.high, first.tie) == (1, 1, 2, 1)


def test_two_runs_of_one_noisy_model_tie():
    first, second = rank_all(play([0.3, 0.3]))
    assert first.tie == second.tie
    assert (first.low, first.high) == (second.low, second.high) == (1, 2)


def test_a_model_that_is_right_wherever_another_is_and_more_stands_strictly_above():
    better, worse = rank_all([first_right(220), first_right(200)])
    assert (better.rank, better.low, better.high, better.tie) == (1, 1, 1, 1)
    assert (worse.rank, worse.low, worse.high, worse.tie) == (2, 2, 2, 2)


@pytest.mark.parametrize("n", [2, 3, 20, 300])
def test_an_interval_holds_its_rank_and_groups_go_down_the_table(n):
    contenders = play(np.linspace(-1, 1, n), seed=n)
    places = rank_all(contenders)
    order = sorted(range(n), key=lambda at: -contenders[at].score.value)
    assert all(place.low <= place.rank <= place.high <= n for place in places)
    ties = [places[at].tie for at in order]
    assert ties[0] == 1
    assert all(after - before in (0, 1) for before, after in pairwise(ties))


def test_intervals_hold_the_true_ranks_as_often_as_they_say():
    skills = np.linspace(-1, 1, 12)
    held = []
    for seed in range(60):
        places = rank_all(play(skills, seed=seed))
        held += [place.low <= 12 - at <= place.high for at, place in enumerate(places)]
    assert np.mean(held) >= 1 - ALPHA


def test_equal_models_are_rarely_told_apart():
    apart = 0
    for seed in range(100):
        places = rank_all(play([0.0] * 8, seed=seed))
        apart += any((place.low, place.high) != (1, 8) for place in places)
    assert apart <= 15  # Holm over 7 tests a model, so at most 8 x 5% of tables, fewer as the tests are dependent


def test_runs_of_other_seeds_are_told_apart_by_their_scores_alone():
    far = [contender(np.arange(N) < n, seed) for n, seed in ((300, "7"), (100, "8"))]
    near = [contender(np.arange(N) < n, seed) for n, seed in ((205, "7"), (200, "8"))]
    assert [place.tie for place in rank_all(far)] == [1, 2]
    assert [place.tie for place in rank_all(near)] == [1, 1]


def test_pairs_on_shared_items_tell_apart_what_scores_alone_do_not():
    shared = [first_right(212), first_right(200)]
    apart = [contender(one.right, seed) for one, seed in zip(shared, "78", strict=True)]
    assert [place.tie for place in rank_all(shared)] == [1, 2]
    assert [place.tie for place in rank_all(apart)] == [1, 1]


def test_what_was_not_graded_is_compared_with_nothing():
    graded = np.arange(N) >= 220
    missing = contender((np.arange(N) < 220) & graded, graded=graded)
    other = contender((np.arange(N) < 210) | graded)
    whole = contender(np.arange(N) < 210)
    first, second = rank_all([whole, missing])
    assert first.tie == second.tie  # what is left of them is equal
    assert [place.tie for place in rank_all([other, missing])] == [1, 2]


def test_score_and_test_must_point_the_same_way():
    more, fewer = np.arange(N) < 300, np.arange(N) < 200
    low, high = Estimate(0.1, Interval(0.0, 0.2)), Estimate(0.9, Interval(0.8, 1.0))
    ones = np.ones(N, dtype=bool)
    first, second = rank_all([Contender("7", low, more, ones), Contender("7", high, fewer, ones)])
    assert (first.low, first.high, second.low, second.high) == (1, 2, 1, 2)


def test_p_is_that_of_scipys_exact_test():
    for n in (*range(60), 100, 151, 400):
        for b in range(0, n + 1, max(1, n // 30)):
            theirs = binomtest(b, n).pvalue if n else 1.0
            assert mcnemar(b, n - b) == pytest.approx(theirs, rel=1e-9)
            (ours,) = exact_p(np.array([b]), np.array([n - b]))
            assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-12) or (ours == 1.0 and theirs > ALPHA)
