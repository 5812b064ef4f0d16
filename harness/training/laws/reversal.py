"""The law of reversal: search for a name by its facts after text that puts names first, or also last."""

from fathom.harness.format import percent
from fathom.harness.training.laws.base import Conclusion, Condition, Law, LawQuestion, LawVerdict, lead_verdict
from fathom.harness.training.laws.results import ExperimentResults, newcombe

_FORWARD = Condition("forward", "names come first")
_REVERSED = Condition("reversed", "names come last in half of the text")
_INVERSE_SEARCH, _EXTRACTION = "inverse search", "extraction"

_FAILURE = 0.1
"""Inverse search fails where the whole interval of its accuracy lies below this."""


def _judge(results: ExperimentResults) -> Conclusion:
    """Judge by the lead of reversed text, provided that inverse search fails after forward text."""
    forward, reverse = results.find(_FORWARD.name, _INVERSE_SEARCH), results.find(_REVERSED.name, _INVERSE_SEARCH)
    gap = newcombe(reverse, forward)
    verdict: LawVerdict = lead_verdict(gap)
    fails = forward.estimate.interval.high < _FAILURE
    if verdict == "shown" and not fails:
        verdict = "not shown"
    shares = [percent(one.estimate.value) for one in (forward, reverse)]
    found = f"{shares[0]} of the names found after forward text, {shares[1]} after reversed text"
    words = {
        "shown": "a name is not found by its facts unless some text puts it last",
        "not shown": "forward text already lets names be found"
        if not fails
        else "the lead of reversed text is not above 10 points over its whole interval",
        "reversed": "forward text is ahead",
    }[verdict]
    return Conclusion(verdict, f"{found}: {words}.", f"{_INVERSE_SEARCH}: {_REVERSED.name} less {_FORWARD.name}", gap)


def _questions(people: int, n: int) -> tuple[LawQuestion, ...]:
    return (
        LawQuestion(_INVERSE_SEARCH, "recall", f"inverse-{people}", "story", "trained", n),
        LawQuestion(_EXTRACTION, "recall", f"extract-{people}", "story", "trained", n),
    )


LAW = Law(
    name="reversal",
    claim="A model cannot find a person by the facts unless some of its text puts the facts before the name.",
    rule=(
        "Shown if inverse search is better by more than 10 points after reversed text, over the whole of Newcombe's "
        "95% interval, and below 10% after forward text, over the whole of Wilson's; reversed if it is worse."
    ),
    reference="Allen-Zhu and Li, Physics of Language Models 3.2 (arXiv 2309.14402), section 6",
    conditions=(_FORWARD, _REVERSED),
    differs=("corpus.1.options.reversed",),
    questions={"text": _questions(300, 400), "gpu": _questions(10_000, 1000)},
    judge=_judge,
)
