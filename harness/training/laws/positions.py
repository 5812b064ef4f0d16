"""Hold rotary positions against learned absolute ones on a hierarchical language, at equal steps."""

from fathom.harness.training.laws.base import Ahead, Condition, Law, Question

ABSOLUTE = Condition("absolute", "learned absolute positions (GPT-2)")
ROTARY = Condition("rotary", "rotary positions (Llama)")
ASKED = "sentences"

_JUDGE = Ahead(
    ASKED,
    ABSOLUTE,
    ROTARY,
    "{behind} of the sentences valid with absolute positions, {ahead} with rotary ones",
    {
        "shown": "relative positions learn the language sooner",
        "not shown": "rotary positions are not ahead by more than 5 points beyond doubt",
        "reversed": "absolute positions are ahead",
    },
    margin=0.05,
)


def _questions(shape: str, given: int, n: int) -> tuple[Question, ...]:
    return (
        Question(ASKED, "lano", f"generate-{shape}-0", "symbol", "free", n),
        Question("sentences continued", "lano", f"generate-{shape}-{given}", "symbol", "free", n),
    )


LAW = Law(
    name="positions",
    claim="At equal steps, rotary positions learn a hierarchical language better than learned absolute ones.",
    rule=(
        "Shown if sentences drawn at temperature 1 from nothing are valid more often with rotary positions by more "
        "than 5 points, over the whole of Newcombe's 95% interval; reversed if less often over the whole of it."
    ),
    reference="Allen-Zhu and Li, Physics of Language Models 1 (arXiv 2305.13673), section 3",
    conditions=(ABSOLUTE, ROTARY),
    differs=("shape.kind",),
    questions={"cpu": _questions("a", 12, 500), "gpu": _questions("f", 50, 1000)},
    judge=_JUDGE,
)
