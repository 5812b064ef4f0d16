"""Sentences for visitors: what styles, prompt templates and labels mean, and which families belong together."""

from collections.abc import Iterable, Mapping

from fathom.tasks.base import PARTS, Family, Part
from fathom.tasks.registry import get_family

STYLE_MEANINGS: Mapping[str, str] = {
    "direct": "the answer at once, in a few tokens, so that the work is done in the head",
    "cot": "steps first, then a last line “Answer: …”",
    "choice": "the candidate that the model finds likeliest, by log-likelihood",
    "free": "continuing the bare text, for models trained on the language",
    "trained": "a question in the form of the training text, for models trained on that text",
    "bits": "how much of the truth a model has learnt, by the log-likelihood of the truth alone",
}

CHANNEL_MEANINGS: Mapping[str, str] = {
    "symbol": "short codes",
    "story": "plain sentences with invented names",
}

HARNESS_LABELS: Mapping[str, str] = {
    "correct": "The answer is right.",
    "cut_off": "The token budget was spent before the answer, or before the end of the model’s thought. Nothing in a "
    "thought is an answer, so it counts as wrong.",
    "too_long": "The prompt did not fit the model’s context, so it was not sent. It counts as wrong; nothing is cut.",
    "unsure": "The truth has less than half of the probability that a model would give it that had learnt everything.",
    "engine_error": "The engine failed on the request. It is not graded, is counted apart, and is asked again "
    "when the run is resumed.",
}
"""Labels that an item of any family can get from the harness."""


def explain(family: str, label: str) -> str:
    """Return the sentence of a label; empty if neither the family nor the harness has this label."""
    known = get_family(family)
    own = known.labels if known else {}
    return own.get(label) or HARNESS_LABELS.get(label, "")


def by_part(families: Iterable[Family]) -> dict[Part, list[Family]]:
    """Group families by part, in the order of PARTS; parts without a family are left out."""
    known = list(families)
    placed = {part: [family for family in known if family.part == part] for part in PARTS}
    return {part: members for part, members in placed.items() if members}
