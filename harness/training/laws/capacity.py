"""Hold a small model against a larger one, when both read more than they can keep."""

from fathom.harness.stats.intervals import Estimate
from fathom.harness.training.laws.base import Condition, Finding, Law, Question, Verdict
from fathom.harness.training.laws.measures import Results, bootstrap_ratio

SMALL = Condition("small", "small")
LARGE = Condition("large", "large")
ASKED = "bits a parameter"

ALIKE = 1.5
"""Two sizes hold alike where the ratio of their bits a parameter is between 1/ALIKE and ALIKE."""


def judge(results: Results) -> Finding:
    """Ask whether a parameter of the larger model holds as many bits as one of the small model."""
    small, large = results.of(SMALL.name, ASKED), results.of(LARGE.name, ASKED)
    ratio = bootstrap_ratio(large, small)
    verdict = _weigh(ratio)
    words = {
        "shown": "what is kept grows in proportion to the parameters",
        "not shown": "the interval of the ratio is not within 0.67 to 1.5",
        "reversed": "a parameter holds clearly more in one size than in the other",
    }[verdict]
    found = (
        f"{small.estimate.value:.2f} bits a parameter in the small model, {large.estimate.value:.2f} in the large one"
    )
    if ratio is None:
        words = "the small one kept too little for a ratio"
    return Finding(verdict, f"{found}: {words}.", f"ratio of bits a parameter: {LARGE.name} to {SMALL.name}", ratio)


def _weigh(ratio: Estimate | None) -> Verdict:
    if ratio is None:
        return "not shown"
    low, high = ratio.interval.low, ratio.interval.high
    if low > 1 / ALIKE and high < ALIKE:
        return "shown"
    return "reversed" if high < 1 / ALIKE or low > ALIKE else "not shown"


def _questions(people: int, n: int) -> tuple[Question, ...]:
    return (Question(ASKED, "capo", f"people-{people}", "story", "bits", n, unit="bits", people=people),)


LAW = Law(
    name="capacity",
    claim="After about 100 exposures a model keeps about one bit a parameter, whatever its size.",
    rule=(
        "Shown if the ratio of bits a parameter of the two sizes lies between 0.67 and 1.5 over the whole of its 95% "
        "bootstrap interval over people; reversed if it lies outside over the whole of it."
    ),
    reference="Allen-Zhu and Li, Physics of Language Models 3.3 (arXiv 2404.05405), sections 3 and 4",
    conditions=(SMALL, LARGE),
    differs=("shape.hidden", "shape.layers", "shape.heads"),
    questions={"cpu": _questions(1000, 2000), "gpu": _questions(30_000, 4000)},
    judge=judge,
)
