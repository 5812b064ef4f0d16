"""What the first sentence of a model's page says of its weakness, and when it says nothing."""

import pytest

from fathom.harness.stats.scores import CellCounts
from fathom.server.board.portrait import weakness_sentence


def scores_of(*families, style="cot"):
    """Scores of families as (name, score, half of the interval)."""
    rows = [
        {"family": name, "style": style, "score": score, "low": score - half, "high": score + half}
        for name, score, half in families
    ]
    return {"families": rows, "overall": {style: {"score": 0.5}, "choice": {"score": 0.1}}}


def depo(labels, style="cot"):
    n = sum(labels.values())
    return CellCounts(1, "depo", 2, "n8k4", "symbol", style, n, n, labels.get("correct", 0), 0, labels)


CLEAR = scores_of(("depo", 0.1, 0.05), ("mano", 0.6, 0.1), ("igsm", 0.5, 0.1))
MISTAKES = {"correct": 20, "short_by_one": 70, "other_node": 20, "cut_off": 10}


def test_it_names_the_weakest_family_and_the_commonest_mistake_there():
    assert weakness_sentence(CLEAR, [depo(MISTAKES)]) == (
        "Weakest with reasoning: Follow arrows. Commonest mistake there, 70% of the wrong answers: one arrow too few."
    )


@pytest.mark.parametrize(
    "labels",
    [
        {"correct": 20},  # nothing wrong
        {"short_by_one": 20, "other_node": 2},  # too few wrong answers
        {"short_by_one": 40, "other_node": 35},  # two kinds about as common
        {"a label of tomorrow": 70},  # no words for it
    ],
)
def test_it_names_no_mistake_where_the_answers_do_not_tell(labels):
    assert (
        weakness_sentence(CLEAR, [depo(labels), depo(MISTAKES, "direct")]) == "Weakest with reasoning: Follow arrows."
    )


@pytest.mark.parametrize(
    "scores",
    [
        {}, scores_of(("depo", 0.1, 0.05), ("mano", 0.6, 0.1)),
        scores_of(("depo", 0.1, 0.1), ("mano", 0.25, 0.1), ("igsm", 0.9, 0.1)),
        scores_of(("gone", 0.1, 0.05), ("mano", 0.6, 0.1), ("igsm", 0.5, 0.1)),
    ],
    ids=["no scores", "two families", "intervals that overlap", "a family that this code does not know"],
)  # fmt: skip
def test_it_says_nothing_where_no_family_is_clearly_the_weakest(scores):
    assert weakness_sentence(scores, [depo(MISTAKES)]) == ""
