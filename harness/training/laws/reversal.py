"""Hold text that names a person first against text that also names it last, and ask for the name."""

from fathom.harness.format import percent
from fathom.harness.training.laws.base import Condition, Finding, Law, Question, Verdict, weigh_gap
from fathom.harness.training.laws.measures import Results, newcombe

FORWARD = Condition("forward", "names come first")
REVERSED = Condition("reversed", "names come last in half of the text")
ASKED, CONTROL = "inverse search", "extraction"

NONE = 0.1
"""Inverse search fails where the whole interval of its accuracy is below this."""


def judge(results: Results) -> Finding:
    """Ask whether inverse search fails after forward text, and works after reversed text."""
    forward, reverse = results.of(FORWARD.name, ASKED), results.of(REVERSED.name, ASKED)
    gap = newcombe(reverse, forward)
    verdict: Verdict = weigh_gap(gap)
    fails = forward.estimate.interval.high < NONE
    if verdict == "shown" and not fails:
        verdict = "not shown"
    shares = [percent(one.estimate.value) for one in (forward, reverse)]
    found = f"{shares[0]} of the names found after forward text, {shares[1]} after reversed text"
    words = {
        "shown": "a name is not found by its facts unless some text puts it last",
        "not shown": "forward text already lets names be found"
        if not fails
        else "reversed text is not ahead by more than 10 points beyond doubt",
        "reversed": "forward text is ahead",
    }[verdict]
    return Finding(verdict, f"{found}: {words}.", f"{ASKED}: {REVERSED.name} less {FORWARD.name}", gap)


def _questions(people: int, n: int) -> tuple[Question, ...]:
    return (
        Question(ASKED, "recall", f"inverse-{people}", "story", "trained", n),
        Question(CONTROL, "recall", f"extract-{people}", "story", "trained", n),
    )


LAW = Law(
    name="reversal",
    claim="A model cannot find a person by the facts unless some of its text puts the facts before the name.",
    rule=(
        "Shown if inverse search is better by more than 10 points after reversed text, over the whole of Newcombe's "
        "95% interval, and below 10% after forward text, over the whole of Wilson's; reversed if it is worse."
    ),
    reference="Allen-Zhu and Li, Physics of Language Models 3.2 (arXiv 2309.14402), section 6",
    conditions=(FORWARD, REVERSED),
    differs=("corpus.1.options.reversed",),
    questions={"cpu": _questions(300, 400), "gpu": _questions(10_000, 1000)},
    judge=judge,
)
