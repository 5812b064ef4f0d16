from collections import Counter

import numpy as np
import pytest
from scipy.stats import binomtest

from fathom.harness.stats.replay import REPLAY_ITEMS, compare_replay, pick_items
from fathom.tasks.stream import Stream


def test_picks_are_spread_over_the_cells_and_never_twice():
    sizes = [50] * 240
    picks = pick_items(sizes, Stream("t", 1))
    assert len(picks) == len(set(picks)) == REPLAY_ITEMS
    assert max(Counter(one.cell for one in picks).values()) == 1
    assert all(0 <= one.index < 50 for one in picks)
    assert picks != pick_items(sizes, Stream("t", 2))


def test_every_item_is_as_likely():
    counts = Counter(one for seed in range(400) for one in pick_items([10, 30, 60], Stream("t", seed), 20))
    assert len(counts) == 100
    assert binomtest(min(counts.values()), 400, 0.2).pvalue > 1e-5
    assert binomtest(max(counts.values()), 400, 0.2).pvalue > 1e-5


@pytest.mark.parametrize("sizes", [[3, 4], [], [200], [1] * 200])
def test_a_small_upload_is_asked_again_whole(sizes):
    assert len(pick_items(sizes, Stream("t", 1))) == sum(sizes)


def test_sizes_that_do_not_divide_still_give_the_count():
    for seed in range(20):
        sizes = [1, 999, 7, 7, 300, 2]
        picks = pick_items(sizes, Stream("t", seed))
        assert len(set(picks)) == REPLAY_ITEMS


def test_both_tests_are_scipys():
    found = compare_replay([(True, True)] * 150 + [(True, False)] * 14 + [(False, True)] * 3 + [(False, False)] * 33)
    assert found.p_rate == pytest.approx(binomtest(17, 200, 0.05, alternative="greater").pvalue)
    assert found.p_side == pytest.approx(binomtest(14, 17, 0.5, alternative="greater").pvalue)
    assert not found.passed


def test_the_same_answers_pass():
    assert compare_replay([(True, True), (False, False)] * 100).passed
    assert compare_replay([]).passed


def simulate(rng, accuracy, flips, forged, n=REPLAY_ITEMS):
    """Verdicts of an upload of which `forged` of all items were made right, and of its replay."""
    true = rng.random(n) < accuracy
    uploaded = np.where(rng.random(n) < flips / 2, ~true, true) | (rng.random(n) < forged)
    replayed = np.where(rng.random(n) < flips / 2, ~true, true)
    return compare_replay(zip(uploaded.tolist(), replayed.tolist(), strict=True))


def test_honest_uploads_pass():
    rng = np.random.default_rng(7)
    passed = np.mean([simulate(rng, 0.4, 0.02, 0.0).passed for _ in range(2000)])
    print(f"honest, 2% of verdicts differ by chance: {passed:.2%} pass")
    assert passed > 0.99


def test_forged_uploads_are_caught():
    rng = np.random.default_rng(7)
    for points, least in ((0.05, 0.4), (0.10, 0.95), (0.20, 0.999)):
        forged = points / 0.6  # only wrong answers can be made better
        caught = np.mean([not simulate(rng, 0.4, 0.02, forged).passed for _ in range(1000)])
        print(f"forged by {100 * points:.0f} points at 40%: {caught:.1%} caught")
        assert caught > least
