"""The law of parity: a question answered at once, or after its fact was written down."""

from fathom.harness.training.laws.base import Condition, Law, LawQuestion, LeadJudge

_DIRECT = Condition("direct", "answered at once")
_HINTED = Condition("hinted", "the month written first")
_EVEN_MONTH = "even month"
_JUDGE = LeadJudge(
    _EVEN_MONTH,
    _DIRECT,
    _HINTED,
    "{behind} right at once (guessing: 50%), {ahead} with the month written first",
    {
        "shown": "a known fact is not used unless it is written down first",
        "not shown": "the lead of writing the month down is not above 10 points over its whole interval",
        "reversed": "answering at once is ahead",
    },
)


def _questions(people: int, n: int) -> tuple[LawQuestion, ...]:
    return (
        LawQuestion(_EVEN_MONTH, "recall", f"parity-{people}", "story", "trained", n, (_DIRECT.name,)),
        LawQuestion(_EVEN_MONTH, "recall", f"parity-hint-{people}", "story", "trained", n, (_HINTED.name,)),
        LawQuestion("month", "recall", f"month-{people}", "story", "trained", n),
    )


LAW = Law(
    name="parity",
    claim="A model that knows a month cannot say at once whether it is even; if it writes the month first, it can.",
    rule=(
        "Shown if the hint makes answers about people of whom no question was ever read better by more than 10 points, "
        "over the whole of Newcombe's 95% interval; reversed if it makes them worse over the whole of it."
    ),
    reference="Allen-Zhu and Li, Physics of Language Models 3.2 (arXiv 2309.14402), section 4",
    conditions=(_DIRECT, _HINTED),
    differs=("corpus.0.options.hint",),
    questions={"text": _questions(300, 400), "gpu": _questions(10_000, 1000)},
    judge=_JUDGE,
)
