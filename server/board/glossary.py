"""Turn names of families, labels, styles and channels into sentences for visitors."""

from collections.abc import Iterable, Mapping

PARTS: Mapping[str, tuple[str, ...]] = {
    "Reasoning": ("depo", "brevo", "mano", "igsm", "repair"),
    "Language": ("lano",),
    "Knowledge": ("bios", "years"),
    "Memory": ("recall", "capo"),
}
"""Families by part; one that stands nowhere here is shown last, under OTHER."""

OTHER = "Other"

PART_LEADS: Mapping[str, str] = {
    "Reasoning": "How many steps a model can take: along arrows, through needs, sums and written solutions.",
    "Language": "How many levels of hidden structure a model can follow in a language that it has never met.",
    "Knowledge": "How well a model finds and uses facts that stand in front of it.",
    "Memory": "What training on texts of ours has left in a model’s weights: nothing is told in the prompt.",
    OTHER: "Families that belong to none of the parts above.",
}

STYLES: Mapping[str, str] = {
    "direct": "the answer at once, in a few tokens, so that the work is done in the head",
    "cot": "steps first, then a last line “Answer: …”",
    "choice": "the candidate that the model finds likeliest, by log-likelihood",
    "free": "going on from the bare text, for models that were trained on the language",
    "trained": "a question as the training text puts it, for models that were trained on that text",
    "bits": "how much of the truth a model has learnt, by the log-likelihood of the truth alone",
}

CHANNELS: Mapping[str, str] = {
    "symbol": "short codes",
    "story": "plain sentences with invented names",
}

HARNESS: Mapping[str, str] = {
    "correct": "The answer is right.",
    "truncated": "The model’s thought has no end: its token budget ran out, or it stopped within. Nothing in a thought "
    "is an answer, so it counts as wrong.",
    "too_long": "The prompt did not fit the model’s context, so it was not asked. It counts as wrong; nothing is cut.",
    "unsure": "The truth has less than half of the probability that it would have if all were learnt.",
    "engine_error": "The engine failed on the request. It is not graded, is counted apart, and is asked again "
    "when the run is resumed.",
}
"""Labels that any family's item can get from the harness."""

_NO_ANSWER = (
    "No single answer could be read: the text is empty, runs on without a line “Answer: …”, "
    "gives two different answers, or has not the form that was asked for."
)

LABELS: Mapping[str, Mapping[str, str]] = {
    "depo": {
        "start": "The name that the question itself gave: no arrow was followed.",
        "one_hop": "The name one arrow after the start: one step, where more were asked.",
        "short_by_one": "Stopped one arrow early.",
        "long_by_one": "Went one arrow too far.",
        "backwards": "As many arrows as asked, but the other way round.",
        "other_node": "Another name of the ring, at none of the places above.",
        "not_a_node": "No name of the ring.",
    },
    "brevo": {
        "missing": "Something needed is left out; the place is where it was first needed.",
        "extra": "Something is listed that the goal does not need.",
        "duplicate": "Something is listed twice.",
        "order": "Something stands before what it needs.",
        "unknown_vertex": "A name that the question does not show.",
    },
    "mano": {
        "off_by_modulus": "Equal to the answer modulo p, but not brought into 0 to p − 1.",
        "wrong_op": "The value that comes out with one operator exchanged. With a small p this is often coincidence.",
        "sub_expression": "The value of only a part of the expression. With a small p this is often coincidence.",
        "other": "Any other number.",
    },
    "lano": {
        "said_yes": "Said yes to what is no sentence.",
        "said_no": "Said no to a sentence.",
        "other_string": "Chose another one of the strings.",
        "outside": "No sentence goes on like this; the place is the first token after which none does.",
        "too_short": "A sentence could go on like this, but it is not complete.",
        "whole_sentence": "A whole sentence, beginning included, where only the rest was asked for.",
        "not_terminals": "Holds something that is no letter or word of the language.",
    },
    "bios": {
        "other_person": "The right kind of fact, but of somebody else; or somebody who does not fit.",
        "other_attribute": "Another fact about the right person.",
        "swapped": "Both values are right, but in the wrong order.",
        "near_value": "A number, month or year off by one, or a date with one part wrong.",
        "wrong": "Another possible value.",
        "not_in_domain": "Nothing that could be an answer to this question.",
    },
    "recall": {
        "other_person": "Somebody else of the population, who does not fit.",
        "other_attribute": "Another fact about the right person.",
        "swapped": "Both values are right, but in the wrong order.",
        "near_value": "A number, month or year off by one, or a date with one part wrong.",
        "wrong": "Another possible value.",
        "not_in_domain": "Nothing that could be an answer to this question.",
    },
    "capo": {
        "wrong": "Another possible value.",
        "not_in_domain": "Nothing that could stand there.",
    },
    "igsm": {
        "arithmetic": "The first bad step miscalculates.",
        "not_ready": "The first bad step uses something that was not worked out yet.",
        "unknown_parameter": "The first bad step names something that is not in the problem.",
        "unneeded_only": "Every step is right, but what was asked was never worked out.",
        "wrong_modulus": "Equal to the answer modulo 23, but not brought into 0 to 22.",
        "other": "Any other number, with no bad step to be seen.",
    },
    "repair": {
        "missed": "Said none, but there is a mistake.",
        "false_alarm": "Named a step, but there is no mistake.",
        "too_early": "Named a right step that stands before the mistake.",
        "too_late": "Named a step that stands after the mistake.",
        "wrong_value": "The right step, but not its right number.",
        "not_a_step": "The solution has no such step.",
        "wrong_answer": "Worked the problem out to another number; the place is the first wrong step that was kept.",
    },
    "years": {
        "nearest_year": "The year that stands nearest to the statement about the person.",
        "first_year": "The year that the text states first.",
        "last_year": "The year that the text states last.",
        "other_year": "Another year of the text.",
        "a_person": "A name instead of a year; the place is the look-up that was not made.",
        "not_a_year": "A year that the text does not state, or no year at all.",
    },
}
"""What each label of a family means; `no_answer` means the same in all."""

GRADING: Mapping[str, str] = {
    "depo": "The name must be spelt as it is in the question, capitals included.",
    "brevo": "Every order that works is right: the goal and all that it needs, nothing else, each after what it needs. "
    "Commas or blanks separate the names.",
    "mano": "The answer is a whole number in digits, from 0 to p − 1. A number outside of that is wrong, "
    "even one that is equal modulo p.",
    "lano": "Yes or no, and the letter of a string, are compared. A continuation is parsed: every one that "
    "makes a sentence of the language is right, not only the one that was drawn.",
    "bios": "Capitals do not matter. Two facts are separated by a semicolon. "
    "Where somebody is searched for, everybody who fits is right.",
    "recall": "The first line alone is read. With a hint, facts come first, as in: October 1908, so yes; what comes "
    "after them decides. Where somebody is searched for, everybody who fits is right.",
    "capo": "Nothing is written: the log-likelihood of the truth counts, in bits above a uniform guess. A fact is "
    "right if it has more than half of the probability.",
    "igsm": "The number alone decides, from 0 to 22. Written steps are read as well, to say where a wrong answer "
    "went wrong.",
    "repair": "The number of a step, or none; where the right value is asked too, both, as in 3: 17. "
    "Where a problem is solved, its answer alone decides; wrong starts are counted.",
    "years": "The year must be the right one, in four digits.",
}
"""What decides whether an answer to a family is right."""


def explain(family: str, label: str) -> str:
    """Return the sentence of a label; empty for a family that has brought none."""
    if label == "no_answer":
        return _NO_ANSWER
    return LABELS.get(family, {}).get(label) or HARNESS.get(label, "")


def by_part(families: Iterable[str]) -> dict[str, list[str]]:
    """Group families by part, in the order of PARTS; parts without a family are left out."""
    known = list(families)
    placed = {part: [name for name in names if name in known] for part, names in PARTS.items()}
    rest = [name for name in known if not any(name in names for names in placed.values())]
    return {part: names for part, names in {**placed, OTHER: rest}.items() if names}
