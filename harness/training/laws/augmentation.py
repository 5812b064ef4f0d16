"""The law of augmentation: extraction after one wording of every biography, or after five in random order."""

from fathom.harness.training.laws.base import Condition, Law, LawQuestion, LeadJudge

_SINGLE = Condition("single", "one wording, one order")
_AUGMENTED = Condition("augmented", "five wordings, any order, full names")
_EXTRACTION = "extraction"
_JUDGE = LeadJudge(
    _EXTRACTION,
    _SINGLE,
    _AUGMENTED,
    "{behind} after text of one wording and one order, {ahead} after varied text",
    {
        "shown": "after varied text, questions about what was read can be answered",
        "not shown": "the lead of varied text is not above 10 points over its whole interval",
        "reversed": "text that never varies is ahead",
    },
)


def _questions(people: int, n: int) -> tuple[LawQuestion, ...]:
    return (LawQuestion(_EXTRACTION, "recall", f"extract-{people}", "story", "trained", n),)


LAW = Law(
    name="augmentation",
    claim="What a model read in one wording it cannot be asked about; read in several wordings and orders, it can.",
    rule=(
        "Shown if extraction about people of whom no question was ever read is better by more than 10 points "
        "with the varied text, over the whole of Newcombe's 95% interval; reversed if it is worse over the whole of it."
    ),
    reference="Allen-Zhu and Li, Physics of Language Models 3.1 (arXiv 2309.14316), section 4",
    conditions=(_SINGLE, _AUGMENTED),
    differs=("corpus.0.options.wordings", "corpus.0.options.permute", "corpus.0.options.fullname"),
    questions={"text": _questions(300, 400), "gpu": _questions(10_000, 1000)},
    judge=_JUDGE,
)
