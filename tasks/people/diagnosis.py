"""Labels of wrong answers about people.

Every text here is in lower case; `facts` are those of the families bios and recall.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fathom.tasks.people.population import (
    ATTRIBUTES,
    CITIES,
    EMPLOYERS,
    FIRST_YEAR,
    MAJORS,
    MONTHS,
    N_DAYS,
    N_YEARS,
    UNIVERSITIES,
    person_of,
    show_attribute,
)
from fathom.tasks.people.questions import N_RESIDUES

_Facts = Mapping[str, Any]


def _low(words: Sequence[str]) -> frozenset[str]:
    return frozenset(word.lower() for word in words)


_DOMAINS: Mapping[str, frozenset[str]] = {
    "city": _low(CITIES),
    "work_city": _low(CITIES),
    "university": _low(UNIVERSITIES),
    "major": _low(MAJORS),
    "employer": _low(EMPLOYERS),
    "day": _low([str(1 + at) for at in range(N_DAYS)]),
    "month": _low(MONTHS),
    "year": _low([str(FIRST_YEAR + at) for at in range(N_YEARS)]),
}
_PARTS = ("day", "month", "year")


def in_domain(attribute: str, text: str) -> bool:
    """Return whether a text is a possible value of an attribute."""
    if attribute != "date":
        return text in _DOMAINS[attribute]
    parts = text.split(" ")
    return len(parts) == len(_PARTS) and all(a in _DOMAINS[kind] for kind, a in zip(_PARTS, parts, strict=True))


def _near(attribute: str, answer: str, gold: str) -> bool:
    """Return whether a date has one part wrong, or a year or month is off by one; both are in the domain."""
    if attribute == "date":
        return sum(a != b for a, b in zip(answer.split(" "), gold.split(" "), strict=True)) == 1
    if attribute == "year":
        return abs(int(answer) - int(gold)) == 1
    if attribute == "month":
        low = [month.lower() for month in MONTHS]
        return abs(low.index(answer) - low.index(gold)) in (1, 11)
    return False


def label_value(facts: _Facts, attribute: str, answer: str) -> str:
    """Label a wrong value of one attribute of the person asked about; `answer` is in lower case."""
    people = facts["people"]
    who = person_of(next(row for row in people if row["name"] == facts["asked"][0]))
    parts = _PARTS if facts["operation"] == "partial" else ATTRIBUTES
    if any(show_attribute(who, other).lower() == answer for other in parts):
        return "other_attribute"
    if any(show_attribute(person_of(row), attribute).lower() == answer for row in people):
        return "other_person"
    if not in_domain(attribute, answer):
        return "not_in_domain"
    return "near_value" if _near(attribute, answer, show_attribute(who, attribute).lower()) else "wrong"


def label_pair(facts: _Facts, gold: str, answer: str) -> tuple[str, int | None]:
    """Label the first wrong part of a dual answer, and return its position; all in lower case."""
    right, parts = gold.split("; "), answer.split("; ")
    if len(parts) != 2:
        return "not_in_domain", None
    if parts == right[::-1]:
        return "swapped", 1
    at = 0 if parts[0] != right[0] else 1
    return label_value(facts, facts["attributes"][at], parts[at]), at + 1


def label_judgement(facts: _Facts, gold: str, answer: str) -> str:
    """Label a wrong yes or no, name, or number; all in lower case."""
    operation, people = facts["operation"], facts["people"]
    if operation in ("even", "listed"):
        return "wrong" if answer in ("yes", "no") else "not_in_domain"
    if operation in ("compare", "inverse"):
        if operation == "compare" and answer in [name.lower() for name in facts["asked"]]:
            return "wrong"
        return "other_person" if any(row["name"].lower() == answer for row in people) else "not_in_domain"
    most = {"remainder": N_RESIDUES - 1, "subtract": 12 * N_YEARS, "count": len(people)}[operation]
    if not answer.isdecimal() or int(answer) > most:
        return "not_in_domain"
    error = abs(int(answer) - int(gold))
    return "near_value" if error == 1 or (operation == "subtract" and error == 12) else "wrong"
