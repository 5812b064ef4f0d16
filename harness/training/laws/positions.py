"""The law of positions: rotary or learned absolute positions on a hierarchical language, at equal steps."""

from fathom.harness.training.laws.base import Condition, Law, LawQuestion, LeadJudge

_ABSOLUTE = Condition("absolute", "learned absolute positions (GPT-2)")
_ROTARY = Condition("rotary", "rotary positions (Llama)")
_SENTENCES = "sentences"

_JUDGE = LeadJudge(
    _SENTENCES,
    _ABSOLUTE,
    _ROTARY,
    "{behind} of the sentences valid with absolute positions, {ahead} with rotary ones",
    {
        "shown": "relative positions learn the language sooner",
        "not shown": "the lead of rotary positions is not above 5 points over its whole interval",
        "reversed": "absolute positions are ahead",
    },
    margin=0.05,
)


def _questions(shape: str, given: int, n: int) -> tuple[LawQuestion, ...]:
    return (
        LawQuestion(_SENTENCES, "lano", f"generate-{shape}-0", "symbol", "free", n),
        LawQuestion("sentences continued", "lano", f"generate-{shape}-{given}", "symbol", "free", n),
    )


LAW = Law(
    name="positions",
    claim="At equal steps, rotary positions learn a hierarchical language better than learned absolute ones.",
    rule=(
        "Shown if sentences drawn at temperature 1 from nothing are valid more often with rotary positions by more "
        "than 5 points, over the whole of Newcombe's 95% interval; reversed if less often over the whole of it."
    ),
    reference="Allen-Zhu and Li, Physics of Language Models 1 (arXiv 2305.13673), section 3",
    conditions=(_ABSOLUTE, _ROTARY),
    differs=("shape.kind",),
    questions={"text": _questions("a", 12, 500), "gpu": _questions("f", 50, 1000)},
    judge=_JUDGE,
)
