import numpy as np
import pytest

from fathom.harness.probing.question import auc
from fathom.harness.stats.presence import LEVEL, Resampling, presence_of_all, presences, weigh


def shares(value, n=600, seed=0):
    hits = np.random.default_rng(seed).random(n) < value
    found = Resampling(np.arange(n))
    return hits.mean(), found.shares(hits), found


def test_a_variable_is_present_only_above_its_strongest_control():
    value, draws, found = shares(0.9)
    weak = weigh(value, draws, {"chance": 0.125, "shuffled labels": 0.2}, {}, found.least_error)
    assert (weak.control, weak.value) == ("shuffled labels", 0.2)
    assert weak.p_above < 1e-6
    strong = weigh(value, draws, {"chance": 0.125}, {"surface": (0.95, draws)}, found.least_error)
    assert strong.control == "surface"
    assert strong.p_above > 0.5


def test_the_margin_belongs_to_the_test():
    draws, found = np.random.default_rng(0).normal(0.5, 0.002, 400), Resampling(np.arange(600))
    close = weigh(0.5, draws, {"chance": 0.47}, {}, found.least_error)
    assert close.p_above > 0.99  # 0.03 above chance is far from chance, and not enough
    assert close.p_below < 1e-6


def test_verdicts_are_corrected_over_all_points_of_a_variable():
    alone, among = presences([(0.03, 0.9)]), presences([(0.03, 0.9)] + [(0.9, 0.9)] * 9)
    assert alone == ["present"]
    assert among[0] == "unclear"
    assert presences([(0.9, LEVEL / 20)] * 10) == ["absent"] * 10


def test_a_variable_is_absent_only_where_every_point_is():
    assert presence_of_all(["absent", "absent"]) == "absent"
    assert presence_of_all(["absent", "unclear"]) == "unclear"
    assert presence_of_all(["absent", "present"]) == "present"
    assert presence_of_all([]) == "unclear"


def test_readings_of_one_item_widen_the_interval():
    hits = np.random.default_rng(1).random(100) < 0.5
    alone, together = Resampling(np.arange(1000)), Resampling(np.repeat(np.arange(100), 10))
    whole = np.repeat(hits, 10)
    narrow = alone.interval(whole.mean(), alone.shares(whole), is_share=True)
    wide = together.interval(whole.mean(), together.shares(whole), is_share=True)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_the_auc_of_draws_is_that_of_the_drawn_items():
    rng = np.random.default_rng(2)
    is_yes = rng.random(200) < 0.3
    scores = np.round(rng.standard_normal(200) + is_yes, 1).astype(np.float32)  # with ties
    pairs = [(a > b) + (a == b) / 2 for a in scores[is_yes] for b in scores[~is_yes]]
    assert auc(scores, is_yes) == pytest.approx(np.mean(pairs))
    drawn = Resampling(np.arange(200)).aucs(scores, is_yes)
    assert drawn.mean() == pytest.approx(np.mean(pairs), abs=0.01)
    assert drawn.std() == pytest.approx(0.037, abs=0.01)
