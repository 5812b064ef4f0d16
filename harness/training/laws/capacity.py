"""The law of capacity: bits a parameter of a small and a larger model that both read more than they can keep."""

from fathom.harness.stats.intervals import Estimate
from fathom.harness.training.laws.base import Conclusion, Condition, Law, LawQuestion, LawVerdict
from fathom.harness.training.laws.results import ExperimentResults, bootstrap_ratio

_SMALL = Condition("small", "small")
_LARGE = Condition("large", "large")
_BITS_A_PARAMETER = "bits a parameter"

_ALIKE = 1.5
"""The law is shown where the ratio of bits a parameter lies between 1/_ALIKE and _ALIKE."""


def _judge(results: ExperimentResults) -> Conclusion:
    """Judge by the ratio of the bits a parameter holds in the larger and in the small model."""
    small, large = results.find(_SMALL.name, _BITS_A_PARAMETER), results.find(_LARGE.name, _BITS_A_PARAMETER)
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
    return Conclusion(
        verdict, f"{found}: {words}.", f"ratio of bits a parameter: {_LARGE.name} to {_SMALL.name}", ratio
    )


def _weigh(ratio: Estimate | None) -> LawVerdict:
    if ratio is None:
        return "not shown"
    low, high = ratio.interval.low, ratio.interval.high
    if low > 1 / _ALIKE and high < _ALIKE:
        return "shown"
    return "reversed" if high < 1 / _ALIKE or low > _ALIKE else "not shown"


def _questions(people: int, n: int) -> tuple[LawQuestion, ...]:
    return (LawQuestion(_BITS_A_PARAMETER, "capo", f"people-{people}", "story", "bits", n, unit="bits", people=people),)


LAW = Law(
    name="capacity",
    claim="After about 100 exposures a model keeps about one bit a parameter, at any size.",
    rule=(
        "Shown if the ratio of bits a parameter of the two sizes lies between 0.67 and 1.5 over the whole of its 95% "
        "bootstrap interval over people; reversed if it lies outside over the whole of it."
    ),
    reference="Allen-Zhu and Li, Physics of Language Models 3.3 (arXiv 2404.05405), sections 3 and 4",
    conditions=(_SMALL, _LARGE),
    differs=("shape.hidden", "shape.layers", "shape.heads"),
    questions={"text": _questions(1000, 2000), "gpu": _questions(30_000, 4000)},
    judge=_judge,
)
