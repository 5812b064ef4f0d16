"""Hold a question answered at once against one answered after its fact was written down."""

from fathom.harness.training.laws.base import Ahead, Condition, Law, Question

DIRECT = Condition("direct", "answered at once")
HINTED = Condition("hinted", "the month written first")
ASKED = "even month"


_JUDGE = Ahead(
    ASKED,
    DIRECT,
    HINTED,
    "{behind} right at once (guessing: 50%), {ahead} with the month written first",
    {
        "shown": "what is known is not used unless it is written down first",
        "not shown": "writing the month down is not ahead by more than 10 points beyond doubt",
        "reversed": "answering at once is ahead",
    },
)


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
    judge=_JUDGE,
)
