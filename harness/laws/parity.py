"""Hold a question answered at once against one answered after its fact was written down."""

from harness.format import percent
from harness.laws.base import Condition, Finding, Law, Question, weigh_gap
from harness.laws.measures import Results, newcombe

DIRECT = Condition("direct", "answered at once")
HINTED = Condition("hinted", "the month written first")
ASKED = "even month"


def judge(results: Results) -> Finding:
    """Ask how much writing the month down first helps to classify it."""
    direct, hinted = results.of(DIRECT.name, ASKED), results.of(HINTED.name, ASKED)
    gap = newcombe(hinted, direct)
    verdict = weigh_gap(gap)
    words = {
        "shown": "what is known is not used unless it is written down first",
        "not shown": "writing the month down is not ahead by more than 10 points beyond doubt",
        "reversed": "answering at once is ahead",
    }[verdict]
    found = (
        f"{percent(direct.estimate.value)} right at once (guessing: 50%), "
        f"{percent(hinted.estimate.value)} with the month written first"
    )
    return Finding(verdict, f"{found}: {words}.", f"{ASKED}: {HINTED.name} less {DIRECT.name}", gap)


def _questions(people: int, n: int) -> tuple[Question, ...]:
    return (
        Question(ASKED, "recall", f"parity-{people}", "story", "trained", n, (DIRECT.name,)),
        Question(ASKED, "recall", f"parity-hint-{people}", "story", "trained", n, (HINTED.name,)),
        Question("month", "recall", f"month-{people}", "story", "trained", n),
    )


LAW = Law(
    name="parity",
    claim="A model that knows a month cannot say at once whether it is even; if it writes the month first, it can.",
    rule=(
        "Shown if the hint makes answers about people of whom no question was ever read better by more than 10 points, "
        "over the whole of Newcombe's 95% interval; reversed if it makes them worse over the whole of it."
    ),
    reference="Allen-Zhu and Li, Physics of Language Models 3.2 (arXiv 2309.14402), section 4",
    conditions=(DIRECT, HINTED),
    differs=("corpus.0.options.hint",),
    questions={"cpu": _questions(300, 400), "gpu": _questions(10_000, 1000)},
    judge=judge,
)
