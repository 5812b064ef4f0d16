"""The fixed wordings of each person of a population, and biographies cut before a fact.

In every sentence the person comes before the value, so that a model that continues the text can know whose value it is.
The corpus bios and the family capo both take their wordings from here.
"""

from functools import cache
from math import prod
from typing import NamedTuple

from fathom.tasks.people.biography import N_WORDINGS, WORDINGS, biography
from fathom.tasks.people.population import ATTRIBUTES, Person, person_of, show_attribute
from fathom.tasks.stream import Stream, canonical_seed

PRONOUN = "pronoun"
_MARK = "\1"


@cache
def fit_wordings(attribute: str) -> tuple[int, ...]:
    """Return the indices of the sentences of an attribute in which the person comes before the value."""
    return tuple(
        at
        for at, wording in enumerate(WORDINGS[attribute])
        if 0 <= wording.replace("{}", _MARK).find("{") < wording.find("{}")
    )


@cache
def _choices() -> tuple[int, tuple[tuple[int, ...], ...]]:
    """Return the number of wordings, and for each attribute what its sentences add to the number of a wording."""
    added = tuple(
        [tuple([at * N_WORDINGS**place for at in fit_wordings(name)]) for place, name in enumerate(ATTRIBUTES)]
    )
    return prod(map(len, added)), added


def person_wordings(seed: str, index: int, count: int = 1) -> tuple[int, ...]:
    """Return the first wordings of a person's biography, always the same for a population and a person.

    They are numbers for `biography`. One wording per person is the corpus form single, M are multiM.
    """
    many, added = _choices()
    found = []
    for word in Stream("population", canonical_seed(seed), "wordings", index).words(count):
        left, number = word * many >> 64, 0
        for options in added:
            left, at = divmod(left, len(options))
            number += options[at]
        found.append(number)
    return tuple(found)


class Cut(NamedTuple):
    """The beginning of a biography, without its last blank, and the fact that comes next."""

    before: str
    value: str


def cut_at(who: Person, wording: int, attribute: str) -> Cut:
    """Cut a biography in the form single before an attribute's value, or before its first PRONOUN."""
    text = biography(who, wording)
    if attribute == PRONOUN:
        other = biography(who._replace(pronoun="he" if who.pronoun == "she" else "she"), wording)
        differs = next(at for at, (a, b) in enumerate(zip(text, other, strict=False)) if a != b)
        start = text.rindex(" ", 0, differs)
        return Cut(text[:start], text[start + 1 :].partition(" ")[0])
    if attribute == "date":
        start = biography(who._replace(day=0), wording).index(f" 0 {show_attribute(who, 'month')} ")
    else:
        marked = person_of({**who._asdict(), attribute: _MARK})
        start = biography(marked, wording).index(_MARK) - 1
    return Cut(text[:start], show_attribute(who, attribute))
