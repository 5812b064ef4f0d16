"""Hold one wording of every biography against five in random order, and ask about both."""

from fathom.harness.training.laws.base import Ahead, Condition, Law, Question

PLAIN = Condition("single", "one wording, one order")
MORE = Condition("augmented", "five wordings, any order, full names")
ASKED = "extraction"


_JUDGE = Ahead(
    ASKED,
    PLAIN,
    MORE,
    f"{{behind}} from {PLAIN.title}, {{ahead}} from varied text",
    {
        "shown": "varied text makes what was read known for questions",
        "not shown": "varied text is not ahead by more than 10 points beyond doubt",
        "reversed": "text that never varies is ahead",
    },
)


def _questions(people: int, n: int) -> tuple[Question, ...]:
    return (Question(ASKED, "recall", f"extract-{people}", "story", "trained", n),)


LAW = Law(
    name="augmentation",
    claim="What a model read in one wording it cannot be asked about; read in several wordings and orders, it can.",
    rule=(
        "Shown if extraction about people of whom no question was ever read is better by more than 10 points "
        "with the varied text, over the whole of Newcombe's 95% interval; reversed if it is worse over the whole of it."
    ),
    reference="Allen-Zhu and Li, Physics of Language Models 3.1 (arXiv 2309.14316), section 4",
    conditions=(PLAIN, MORE),
    differs=("corpus.0.options.wordings", "corpus.0.options.permute", "corpus.0.options.fullname"),
    questions={"cpu": _questions(300, 400), "gpu": _questions(10_000, 1000)},
    judge=_JUDGE,
)
