"""Closed-book questions about people of a population, in one form for training text and evaluation.

A model that read biographies reads such questions with answers about half of the people (the corpus bios), and is asked
about the other half (the family recall); both use `draw_question`. A question is one line, and so is its answer. With a
hint, the answer first states the facts that it depends on: "October 1908, so yes".

Reference: Allen-Zhu and Li, Physics of Language Models 3.1 (arXiv 2309.14316) and 3.2 (arXiv 2309.14402).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fathom.tasks.errors import BadOption
from fathom.tasks.people.population import (
    ATTRIBUTES,
    MAJORS,
    MONTHS,
    Person,
    Population,
    birth_key,
    months_apart,
    show_attribute,
)
from fathom.tasks.people.questions import N_LISTED, N_RESIDUES, join_values
from fathom.tasks.stream import Stream

LEAST_PEOPLE = 4
"""Fewest people of a population with questions: two in each half, who can be compared."""

HINT_SEPARATOR = ", so "
"""Text between the facts of a hint and the answer."""

EXTRACTS = tuple(f"extract-{attribute}" for attribute in ATTRIBUTES)
PARTIALS = ("partial-year", "partial-month")
CLASSIFIES = ("classify-even", "classify-remainder", "classify-listed")
KIND_GROUPS: Mapping[str, tuple[str, ...]] = {
    "extract": EXTRACTS, "partial": PARTIALS, "dual": ("dual",), "classify": CLASSIFIES,
    "compare": ("compare",), "subtract": ("subtract",), "inverse": ("inverse",),
}  # fmt: skip
QUESTION_KINDS = tuple(kind for kinds in KIND_GROUPS.values() for kind in kinds)
HINTED_KINDS = (*CLASSIFIES, "compare", "subtract")
"""Kinds whose answers follow from facts, which a hint can state."""

_ASKS = {
    "date": "On which date was {} born?",
    "city": "In which city was {} born?",
    "university": "Where did {} study?",
    "major": "Which subject did {} study?",
    "employer": "For which employer did {} work?",
    "work_city": "In which city did {} work?",
    "year": "In which year was {} born?",
    "month": "In which month was {} born?",
}
_NOUNS = {
    "date": "date of birth", "city": "city of birth", "university": "place of study", "major": "subject of study",
    "employer": "employer", "work_city": "city of work",
}  # fmt: skip
_MOST_DRAWS = 10_000  # any one of 500 people is missed by all of them once in 500 million
_PAIRS = tuple((first, second) for first in ATTRIBUTES for second in ATTRIBUTES if first != second)

_DATE = rf"\d{{1,2}} (?:{'|'.join(MONTHS)}) \d{{4}}"
_MONTH = rf"(?:{'|'.join(MONTHS)})"
_HINTS = {
    "classify-even": rf"{_MONTH} \d{{4}}",
    "classify-remainder": rf"{_MONTH}, month \d{{1,2}}",
    "classify-listed": r"[a-z ]{3,30}",
    "compare": rf"{_DATE} and {_DATE}",
    "subtract": rf"{_MONTH} \d{{4}} and {_MONTH} \d{{4}}",
}


@dataclass(frozen=True, slots=True)
class Crowd:
    """People first to stop-1 of a population, created one at a time: those whom questions are about."""

    person: Callable[[int], Person]
    first: int
    stop: int

    def anyone(self, stream: Stream) -> Person:
        """Draw one person."""
        return self.person(self.first + stream.below(self.stop - self.first))


def choose_crowd(seed: str, n_people: int, *, trained: bool) -> Crowd:
    """Return half of the first n_people of a population: those in training questions, or those in evaluation."""
    half = n_people // 2
    return Crowd(Population(seed).person, *((0, half) if trained else (half, n_people)))


@dataclass(frozen=True, slots=True)
class ClosedBookQuestion:
    """A question and its answer, one line each; with a hint, `decision` is what follows the facts.

    `facts` are JSON values: kind, hint, asked (names), people (as rows), attributes or list or wanted.
    """

    question: str
    answer: str
    facts: dict[str, Any]

    @property
    def decision(self) -> str:
        """The answer without the facts of a hint."""
        return self.answer.rpartition(HINT_SEPARATOR)[2]


def kinds_of(text: str) -> tuple[str, ...]:
    """Return the kinds of question in a text of kinds and groups separated by blanks: "extract compare".

    Raises:
        BadOption: a word is neither a kind nor a group, or there is none.
    """
    found: dict[str, None] = {}
    for word in text.split():
        if word not in KIND_GROUPS and word not in QUESTION_KINDS:
            raise BadOption(
                f"no kind of question {word!r}; known: {', '.join(dict.fromkeys([*KIND_GROUPS, *QUESTION_KINDS]))}"
            )
        found.update(dict.fromkeys(KIND_GROUPS.get(word, (word,))))
    if not found:
        raise BadOption(f"name a kind of question; known: {', '.join(KIND_GROUPS)}")
    return tuple(found)


def draw_question(kind: str, asked: Crowd, stream: Stream, *, hint: bool = False) -> ClosedBookQuestion:
    """Draw people of a crowd and a question about them.

    Args:
        kind: one of QUESTION_KINDS.
        asked: the people to draw from, see `choose_crowd`.
        stream: the source of all choices.
        hint: state the facts before the answer; no effect on kinds outside HINTED_KINDS.

    Raises:
        BadOption: nobody of a small crowd fits the question, such as a month with remainder 3.
    """
    group, _, detail = kind.partition("-")
    drawn = _MAKERS[group](detail, asked, stream)
    told = hint and kind in HINTED_KINDS
    answer = f"{drawn.stated}{HINT_SEPARATOR}{drawn.answer}" if told else drawn.answer
    return ClosedBookQuestion(drawn.question, answer, {"kind": kind, "hint": told, **drawn.facts})


def question_document(quiz: ClosedBookQuestion) -> list[tuple[str, str]]:
    """Return a question and its answer as one document of training text; only the answer is learnt."""
    return [(quiz.question, f" {quiz.answer}")]


def read_decision(kind: str, text: str, *, hint: bool) -> str | None:
    """Return the answer of a line, after the facts of a hint; None if it has another form."""
    line = text.partition("\n")[0].strip()
    if not hint or kind not in HINTED_KINDS:
        return line or None
    found = re.fullmatch(rf"{_HINTS[kind]}{HINT_SEPARATOR}(.{{1,80}})", line) if len(line) < 300 else None
    return found[1] if found else None


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A question, its answer alone, and the facts that a hint states."""

    question: str
    answer: str
    facts: dict[str, Any]
    stated: str


def _about(question: str, answer: str, *people: Person, stated: str = "", **more: Any) -> _Drawn:
    facts = {"asked": [who.name for who in people], "people": [who._asdict() for who in people], **more}
    return _Drawn(question, answer, facts, stated)


_T = TypeVar("_T")


def _until(fits: Callable[[_T], bool], draw: Callable[[], _T]) -> _T:
    """Draw until the result fits."""
    for _ in range(_MOST_DRAWS):
        drawn = draw()
        if fits(drawn):
            return drawn
    raise BadOption("too few people: nobody of those asked about fits a question; give a larger population")


def _extract(attribute: str, asked: Crowd, stream: Stream) -> _Drawn:
    who = asked.anyone(stream)
    return _about(_ASKS[attribute].format(who.name), show_attribute(who, attribute), who, attributes=[attribute])


def _dual(_: str, asked: Crowd, stream: Stream) -> _Drawn:
    who, (first, second) = asked.anyone(stream), stream.choice(_PAIRS)
    question = f"What are the {_NOUNS[first]} and the {_NOUNS[second]} of {who.name}?"
    return _about(question, join_values(who, (first, second)), who, attributes=[first, second])


def _classify(detail: str, asked: Crowd, stream: Stream) -> _Drawn:
    """Draw the answer first, then somebody whom it fits, so that answers are balanced."""
    if detail == "listed":
        return _listed(asked, stream)
    n_classes = 2 if detail == "even" else N_RESIDUES
    wanted = stream.below(n_classes)
    who = _until(lambda one: one.month % n_classes == wanted, lambda: asked.anyone(stream))
    month = show_attribute(who, "month")
    if detail == "even":
        question = f"Was {who.name} born in a month with an even number?"
        return _about(question, "no" if wanted else "yes", who, stated=f"{month} {who.year}")
    question = f"What remainder does the number of the month in which {who.name} was born leave when divided by 6?"
    return _about(question, str(wanted), who, stated=f"{month}, month {who.month}")


def _listed(asked: Crowd, stream: Stream) -> _Drawn:
    who, yes = asked.anyone(stream), stream.below(2)
    others = stream.sample([major for major in MAJORS if major != who.major], N_LISTED - yes)
    subjects = stream.shuffle([who.major, *others] if yes else others)
    question = f"Did {who.name} study one of these subjects: {', '.join(subjects)}?"
    return _about(question, "yes" if yes else "no", who, list=subjects, stated=who.major)


def _two(asked: Crowd, stream: Stream, unlike: Callable[[Person], object]) -> tuple[Person, Person]:
    return _until(lambda both: unlike(both[0]) != unlike(both[1]), lambda: (asked.anyone(stream), asked.anyone(stream)))


def _compare(_: str, asked: Crowd, stream: Stream) -> _Drawn:
    one, two = _two(asked, stream, lambda who: birth_key(who, "life"))
    early = min((one, two), key=lambda who: birth_key(who, "life"))
    hint = f"{show_attribute(one, 'date')} and {show_attribute(two, 'date')}"
    return _about(f"Who was born earlier, {one.name} or {two.name}?", early.name, one, two, stated=hint)


def _subtract(_: str, asked: Crowd, stream: Stream) -> _Drawn:
    one, two = _two(asked, stream, lambda who: (who.year, who.month))
    question = f"How many months lie between the months in which {one.name} and {two.name} were born?"
    hint = " and ".join([f"{show_attribute(who, 'month')} {who.year}" for who in (one, two)])
    return _about(question, str(months_apart(one, two)), one, two, stated=hint)


def _inverse(_: str, asked: Crowd, stream: Stream) -> _Drawn:
    who = asked.anyone(stream)
    wanted = {"date": show_attribute(who, "date"), "city": who.city}
    question = f"Who was born on {wanted['date']} in {wanted['city']}?"
    return _about(question, who.name, who, wanted=wanted, accepts="verifier")


_MAKERS: Mapping[str, Callable[[str, Crowd, Stream], _Drawn]] = {
    "extract": _extract,
    "partial": _extract,
    "dual": _dual,
    "classify": _classify,
    "compare": _compare,
    "subtract": _subtract,
    "inverse": _inverse,
}
