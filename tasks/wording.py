"""Fix how each person of a population is told, and cut a biography where a fact of it begins.

In every sentence the person comes before the value: so a model that reads on can know whose it is. The corpus bios
and the family capo both take their wordings from here.
"""

from functools import cache
from typing import NamedTuple

from tasks.biography import N_WORDINGS, WORDINGS, biography
from tasks.people import ATTRIBUTES, Person, person_of, shown
from tasks.stream import Stream, canonical_seed

PRONOUN = "pronoun"
_MARK = "\1"


@cache
def fit_wordings(attribute: str) -> tuple[int, ...]:
    """Return the places of an attribute's sentences in which the person comes before the value."""
    return tuple(
        at
        for at, wording in enumerate(WORDINGS[attribute])
        if 0 <= wording.replace("{}", _MARK).find("{") < wording.find("{}")
    )


def wording(seed: str, index: int, which: int = 0) -> int:
    """Return the wording of a person's biography number `which`: always the same for a population and a person.

    It is a number for `biography`. One wording a person is the corpus form single, M of them are multiM.
    """
    stream = Stream("wording", canonical_seed(seed), index, which)
    number = 0
    for attribute in reversed(ATTRIBUTES):
        number = number * N_WORDINGS + stream.choice(fit_wordings(attribute))
    return number


class Cut(NamedTuple):
    """The beginning of a biography, without its last blank, and the fact that comes next."""

    before: str
    value: str


def cut_at(who: Person, wordings: int, attribute: str) -> Cut:
    """Cut a biography in the form single before an attribute's value, or before its first PRONOUN."""
    text = biography(who, wordings)
    if attribute == PRONOUN:
        other = biography(who._replace(pronoun="he" if who.pronoun == "she" else "she"), wordings)
        differs = next(at for at, (a, b) in enumerate(zip(text, other, strict=False)) if a != b)
        start = text.rindex(" ", 0, differs)
        return Cut(text[:start], text[start + 1 :].partition(" ")[0])
    if attribute == "date":
        start = biography(who._replace(day=0), wordings).index(f" 0 {shown(who, 'month')} ")
    else:
        marked = person_of({**who._asdict(), attribute: _MARK})
        start = biography(marked, wordings).index(_MARK) - 1
    return Cut(text[:start], shown(who, attribute))
