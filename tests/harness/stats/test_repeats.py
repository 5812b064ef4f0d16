"""Shares of repeated answers: the estimates are unbiased, and the intervals hold what they promise."""

from itertools import combinations
from math import sqrt

import numpy as np
import pytest
from scipy import stats as scipy_stats

from fathom.harness.stats.intervals import ladder_mean, t95, wilson
from fathom.harness.stats.repeats import Spread, Tally, Vote, majority_is_right, pass_at_k, read_spread
from fathom.harness.stats.scores import rung_of


def votes(text):
    """One answer a letter; capitals are right, a dot is not parsed."""
    return [Vote(one.isupper(), None if one == "." else one.lower()) for one in text]


def spread_of(*items):
    tally = Tally(len(items[0]))
    for item in items:
        tally.add(votes(item))
    return tally.spread


@pytest.mark.parametrize("n", range(1, 9))
def test_pass_at_k_is_what_counting_all_subsets_gives(n):
    for c in range(n + 1):
        answers = [at < c for at in range(n)]
        for k in range(1, n + 1):
            subsets = list(combinations(answers, k))
            assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-12)


def test_pass_at_k_is_unbiased_where_one_minus_the_power_of_the_share_is_not():
    p, n, k = 0.3, 6, 4
    law = scipy_stats.binom(n, p).pmf(range(n + 1))
    truth = 1 - (1 - p) ** k
    ours = sum(law[c] * pass_at_k(n, c, k) for c in range(n + 1))
    naive = sum(law[c] * (1 - (1 - c / n) ** k) for c in range(n + 1))
    print(f"truth {truth:.4f}, ours {ours:.4f}, naive {naive:.4f}")
    assert ours == pytest.approx(truth, abs=1e-12)
    assert abs(naive - truth) > 0.03


def test_impossible_draws_are_refused():
    for n, c, k in ((4, 5, 1), (4, -1, 1), (4, 2, 0), (4, 2, 5)):
        with pytest.raises(ValueError, match="at most n"):
            pass_at_k(n, c, k)


@pytest.mark.parametrize(
    ("text", "right"),
    [("AAb", True), ("Abb", False), ("Ab", True), ("bA", False), ("bAA", True), ("...", False), ("..A", True),
     ("b..A", False), ("bbAAc", False)],
)  # fmt: skip
def test_the_commonest_parsed_answer_counts_and_of_equals_the_first(text, right):
    assert majority_is_right(votes(text)) is right


def test_a_tally_counts_whole_items_by_hits_by_repeat_and_by_majority():
    tally = Tally(3)
    for text in ("AAA", "Abb", "bbb", "bAA", "AA"):  # the last lacks an answer: the engine failed on it
        tally.add(votes(text))
    assert tally.spread == Spread(3, (1, 1, 1, 1), (2, 2, 2), 2)
    assert read_spread(tally.spread.to_json()) == tally.spread
    assert read_spread(None) is None


def test_the_curve_of_pass_at_k_rises_and_ends_with_all_answers():
    found = spread_of("AAAAAA", "bbbbbA", "bbbbbb", "AAbbbb").passes
    assert list(found) == [1, 2, 4, 6]
    values = [one.value for one in found.values()]
    assert values == sorted(values)
    assert values[0] == pytest.approx(9 / 24)
    assert values[-1] == pytest.approx(3 / 4)
    assert all(one.interval.low < one.value < one.interval.high for one in found.values())


def test_where_no_spread_is_seen_the_interval_is_that_of_the_items():
    for text in ("AAAA", "bbbb"):
        spread, n = spread_of(*[text] * 40), 40
        expected = wilson(n if text == "AAAA" else 0, n)
        for one in (spread.mean, spread.voted, spread.pass_at(4)):
            assert one.interval.high - one.interval.low >= expected.high - expected.low > 0.05
    assert spread_of("A").mean.interval == wilson(1, 1)
    assert Spread(2, (0, 0, 0), (0, 0), 0).mean.interval == wilson(0, 0)


def test_variance_is_split_into_that_of_items_of_answers_and_of_repeats():
    rng = np.random.default_rng(5)
    n, r = 4000, 6
    own = rng.beta(2, 3, n)
    answers = rng.random((n, r)) < own[:, None]
    tally = Tally(r)
    for row in answers:
        tally.add([Vote(bool(one), str(one)) for one in row])
    found = tally.spread.variance
    print(found, "true", own.var(), (own * (1 - own)).mean(), (own * (1 - own)).mean() / n)
    assert found.items == pytest.approx(own.var(), rel=0.1)
    assert found.answers == pytest.approx((own * (1 - own)).mean(), rel=0.05)
    assert found.repeats == pytest.approx(answers.mean(axis=0).var(ddof=1))
    assert found.sd_repeats == pytest.approx(sqrt(found.repeats))


def test_students_quantile_is_scipys():
    for df in (1, 2, 3, 4, 5, 10, 30, 1000):
        assert t95(df) == pytest.approx(float(scipy_stats.t.ppf(0.975, df)), abs=0.004)
    with pytest.raises(ValueError, match="degrees"):
        t95(0)


def covered(m, r, k, law, draws=3000):
    """How often the clustered interval, and Wilson's over all samples, hold the true pass@k."""
    rng = np.random.default_rng(m * r + k)
    truth = float((1 - (1 - law(rng, 200_000)) ** k).mean())
    ours = naive = 0
    for _ in range(draws):
        right = rng.binomial(r, law(rng, m))
        hits = np.bincount(right, minlength=r + 1).tolist()
        spread = Spread(r, tuple(hits), (0,) * r, 0)
        found, plain = spread.pass_at(k).interval, wilson(int(right.sum()), m * r)
        ours += found.low <= truth <= found.high
        naive += plain.low <= truth <= plain.high
    return ours / draws, naive / draws


def alike(share, icc):
    """Items whose chances are spread so that answers to one item correlate by `icc`."""
    weight = 1 / icc - 1
    return lambda rng, n: rng.beta(share * weight, (1 - share) * weight, n)


@pytest.mark.parametrize(
    ("m", "r", "k", "law"),
    [(50, 8, 1, alike(0.5, 0.4)), (100, 4, 1, alike(0.2, 0.4)), (200, 8, 1, alike(0.9, 0.1)),
     (100, 8, 4, alike(0.3, 0.3)), (60, 4, 4, alike(0.4, 0.5)), (50, 4, 1, lambda rng, n: np.full(n, 0.6))],
)  # fmt: skip
def test_intervals_hold_the_truth_as_often_as_they_say(m, r, k, law):
    ours, naive = covered(m, r, k, law)
    print(f"{m} items x {r}, pass@{k}: clustered {ours:.3f}, over all samples as if independent {naive:.3f}")
    assert 0.93 <= ours <= 0.98


def test_as_if_independent_they_would_not():
    ours, naive = covered(100, 8, 1, alike(0.5, 0.4))
    assert naive < 0.8 < 0.93 <= ours


def test_a_ladders_mean_is_as_sure_as_its_items_allow(cell_of):
    alone = cell_of(k=30, n=60)
    again = cell_of(k=120, n=240, spread=Spread(4, (30, 0, 0, 0, 30), (30,) * 4, 30))
    varied = cell_of(k=120, n=240, spread=Spread(4, (4, 15, 22, 15, 4), (30,) * 4, 30))
    widths = [ladder_mean([rung_of(one)]).interval for one in (alone, again, varied)]
    halves = [(one.high - one.low) / 2 for one in widths]
    print(halves, rung_of(again), rung_of(varied))
    assert halves[1] == pytest.approx(halves[0], rel=0.05)  # the same answer four times tells no more than once
    assert halves[2] < 0.7 * halves[0]
    assert (rung_of(alone).effect, rung_of(alone).n_independent) == (1.0, 60)
    assert rung_of(again).n_independent in range(50, 61)


@pytest.fixture
def cell_of():
    from fathom.harness.stats.scores import CellCounts

    def make(k, n, spread=None):
        return CellCounts(0, "depo", 2, "n8k1", "symbol", "direct", 60, n, k, 0, {}, spread)

    return make
