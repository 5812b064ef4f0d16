"""Each law judges made-up counts by the rule that it states."""

from math import log

import pytest

from fathom.harness.stats.intervals import wilson
from fathom.harness.stats.learned_bits import FactScore, LearnedBits, sum_fact_scores
from fathom.harness.training.laws.base import LawVerdict
from fathom.harness.training.laws.registry import find_law
from fathom.harness.training.laws.results import ExperimentResults, Observation, newcombe

_N = 150


def gained(*bits: float) -> LearnedBits:
    """Two hundred people of whom one city each was asked, gains in turn."""
    return sum_fact_scores(FactScore(person, "city", log(2) * bits[person % len(bits)]) for person in range(200))


def _judged(law: str, question: str, *right: int) -> LawVerdict:
    known = find_law(law)
    observations = [
        Observation(condition.name, question, k, _N) for condition, k in zip(known.conditions, right, strict=True)
    ]
    return known.judge(ExperimentResults(tuple(observations))).verdict


@pytest.mark.parametrize(
    ("law", "question"), [("augmentation", "extraction"), ("parity", "even month"), ("positions", "sentences")]
)
@pytest.mark.parametrize(
    ("right", "verdict"),
    [((10, 100), "shown"), ((75, 75), "not shown"), ((75, 86), "not shown"), ((100, 10), "reversed")],
)
def test_a_gap_is_shown_beyond_doubt_or_not_at_all(
    law: str, question: str, right: tuple[int, int], verdict: LawVerdict
) -> None:
    assert _judged(law, question, *right) == verdict


@pytest.mark.parametrize(
    ("right", "verdict"),
    [((0, 100), "shown"), ((0, 5), "not shown"), ((60, 120), "not shown"), ((100, 10), "reversed")],
)
def test_reversal_is_shown_only_where_forward_text_fails(right: tuple[int, int], verdict: LawVerdict) -> None:
    assert _judged("reversal", "inverse search", *right) == verdict


@pytest.mark.parametrize(
    ("bits", "verdict"),
    [((1.0, 1.1), "shown"), ((1.0, 2.5), "reversed"), ((1.0, 0.4), "reversed"), ((1.0, 1.5), "not shown")],
)
def test_capacity_is_shown_where_a_parameter_holds_alike_in_both_sizes(
    bits: tuple[float, float], verdict: LawVerdict
) -> None:
    law = find_law("capacity")
    observations = [
        Observation(condition.name, "bits a parameter", 0, 200, None, gained(0.9 * mean, 1.1 * mean), 1.0)
        for condition, mean in zip(law.conditions, bits, strict=True)
    ]
    assert law.judge(ExperimentResults(tuple(observations))).verdict == verdict


def test_the_interval_of_a_difference_is_that_of_newcombe() -> None:
    # Newcombe 1998, table II, method 10: 56/70 less 48/80.
    gap = newcombe(Observation("a", "q", 56, 70), Observation("b", "q", 48, 80))
    assert gap.value == pytest.approx(0.2)
    assert (gap.interval.low, gap.interval.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_a_measure_of_shares_has_the_interval_of_wilson() -> None:
    assert Observation("a", "q", 3, 20).estimate.interval == wilson(3, 20)


def test_the_bootstrap_of_equal_values_has_no_width() -> None:
    alike = Observation("a", "q", 0, 200, None, gained(2.0, 2.0), 0.5).estimate
    assert alike.interval.low == pytest.approx(1.0)
    assert alike.interval.high == alike.value == pytest.approx(1.0)


def test_bits_of_an_attribute_that_a_model_guesses_worse_than_chance_take_nothing_from_the_others() -> None:
    gains = sum_fact_scores(
        [
            FactScore(person, name, log(2) * bits)
            for person in range(50)
            for name, bits in [("city", 3.0), ("major", -5.0)]
        ]
    )
    assert Observation("a", "q", 0, 100, None, gains, 1.0).estimate.value == pytest.approx(3.0)


def test_capacity_has_no_ratio_to_a_model_that_kept_nothing() -> None:
    law = find_law("capacity")
    observations = [
        Observation(condition.name, "bits a parameter", 0, 200, None, gained(bits, bits), 1.0)
        for condition, bits in zip(law.conditions, (-2.0, 1.0), strict=True)
    ]
    found = law.judge(ExperimentResults(tuple(observations)))
    assert (found.verdict, found.effect) == ("not shown", None)
    assert "too little for a ratio" in found.sentence
