"""What the answer to a question about people may be, by the question's operation."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from fathom.tasks.answers.compound import Date, Pair
from fathom.tasks.answers.kinds import AnswerKind, Either, Names, YesNo
from fathom.tasks.answers.numbers import Integer
from fathom.tasks.people.population import CITIES, EMPLOYERS, MAJORS, MONTHS, UNIVERSITIES
from fathom.tasks.words import CODE_SHAPE

_SHAPE = r"[A-Z][a-z]{1,14}(?: (?:of|the|[A-Z][a-z]{1,14})){0,3}"
_SUBJECT = r"[A-Za-z][a-z]{2,14}(?: [a-z]{2,14}){0,2}"
_EVEN, _ODD = r"\beven\b", r"\bodd\b|\bnot (?:an )?even\b|n't (?:an )?even\b"
_LISTED, _NOT_LISTED = r"\b(?:on|in) (?:the|this) list\b", r"(?:\bnot|n't)\b[^.]{0,30}\b(?:on|in) (?:the|this) list\b"


class Attribute(Names):
    """A value that a record states: a city, a university, a field of study, an employer."""

    def lists_values(self, text: str) -> bool:
        """Return whether a phrase is a list of values, or a record.

        A model that repeats the records instead of answering has named the right value, and all others with it.
        """
        return super().lists_values(text) or (text.count(";") > 1 and bool(_RECORD.match(text)))


_RECORD = re.compile(r"[^:;]{1,40}: (?:born|studied|worked) ")


_KINDS: Mapping[str, AnswerKind] = {
    "date": Date(),
    "city": Attribute.of(CITIES, _SHAPE),
    "work_city": Attribute.of(CITIES, _SHAPE),
    "university": Attribute.of(UNIVERSITIES, _SHAPE),
    "major": Attribute.of(MAJORS, _SUBJECT),
    "employer": Attribute.of(EMPLOYERS, _SHAPE),
    "month": Names.of(MONTHS, _SHAPE),
    "day": Integer(),
    "year": Integer(4),
}
_RELATIONS = {"later": "later|after|younger", "earlier": "earlier|before|older|first"}


@cache
def _attribute(asked: str) -> AnswerKind:
    """Return the kind of an attribute; where they stand alone, values of all others are answers too, if wrong ones."""
    others = [_KINDS[other] for other in ("date", "city", "university", "employer", "major") if other != asked]
    return Either(_KINDS[asked], tuple(others))


def kind_of_answer(facts: Mapping[str, Any]) -> AnswerKind:
    """Return the kind of the answer to a question of the family bios, of which these are the facts."""
    operation = facts["operation"]
    if operation == "dual":
        first, second = facts["attributes"]
        return Pair(_attribute(first), _attribute(second))
    if operation in ("extract", "partial"):
        return _attribute(facts["attributes"][0])
    if operation in ("compare", "inverse"):
        names = [row["name"] for row in facts["people"]]
        shape = CODE_SHAPE if names[0].isupper() else _SHAPE
        if operation == "inverse":
            return Names(names, shape=shape)
        others = Names([name for name in names if name not in facts["asked"]])
        return Either(Names(facts["asked"], shape=shape, relation=_RELATIONS[facts["which"]]), (others,))
    if operation == "even":
        return YesNo(_EVEN, _ODD)
    return YesNo(_LISTED, _NOT_LISTED) if operation == "listed" else Integer()
