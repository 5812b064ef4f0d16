"""How answers to questions about people are asked for: the noun of an answer, and an example that is none."""

from collections.abc import Mapping, Sequence
from typing import Any

from fathom.tasks.people.population import MONTHS, Person, full_names
from fathom.tasks.people.questions import COUNTS, N_RESIDUES, YEARS_APART
from fathom.tasks.stream import Stream
from fathom.tasks.words import codes

_EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "date": ("3 May 2031", "17 August 2044", "9 January 2052", "26 November 2027"),
    "city": ("Zarwicke", "Zelbessa", "Zunlundy", "Zongavik"),
    "work_city": ("Wirpenna", "Wasdusta", "Wenvolen", "Worhorra"),
    "university": ("Zolmed College", "Yarkin Academy", "Wembol University", "Haltiv Polytechnic"),
    "major": ("alchemy", "heraldry", "falconry", "hypnosis"),
    "employer": ("Zwena Works", "Vralo Glass", "Wruka Foods", "Zhoti Steel"),
    "year": ("2031", "2044", "2052", "2027"),
}
"""Values that look like those of people, and are none of anybody."""

_NOUNS: Mapping[str, str] = {
    "date": "the date", "city": "the city", "work_city": "the city", "university": "the name", "major": "the subject",
    "employer": "the name", "year": "the year", "month": "the month",
}  # fmt: skip
_YES_NO = ("even", "listed")
_NAMED = ("compare", "inverse")


def answer_noun(facts: Mapping[str, Any]) -> str:
    """Return what the answer to a question of the family bios is called in a prompt."""
    operation = facts["operation"]
    if operation == "dual":
        return "the two values"
    if operation in _YES_NO:
        return "yes or no"
    if operation in _NAMED:
        return "the code" if facts["people"][0]["name"].isupper() else "the full name"
    return _NOUNS[facts["attributes"][0]] if "attributes" in facts else "the number"


def draw_example(stream: Stream, people: Sequence[Person], facts: Mapping[str, Any]) -> str | None:
    """Draw an answer in the right form that is wrong whoever is asked about; for yes or no there is none."""
    operation = facts["operation"]
    if operation in _YES_NO:
        return None
    if operation in _NAMED:
        return _new_name(stream, [who.name for who in people])
    if "attributes" in facts:
        return "; ".join([_example_value(stream, people, attribute) for attribute in facts["attributes"]])
    if operation == "subtract":  # the gold is no whole number of years
        return str(12 * stream.choice(YEARS_APART))
    if operation == "remainder":
        seen = {who.month % N_RESIDUES for who in people}
        return str(stream.choice([left for left in range(N_RESIDUES) if left not in seen]))
    return str(max(map(max, COUNTS[len(people)])) + 1 + stream.below(3))


def _example_value(stream: Stream, people: Sequence[Person], attribute: str) -> str:
    if attribute != "month":
        return stream.choice(_EXAMPLES[attribute])
    seen = {who.month for who in people}
    return stream.choice([name for at, name in enumerate(MONTHS, 1) if at not in seen])


def _new_name(stream: Stream, names: Sequence[str]) -> str:
    while True:
        name = codes(stream, 1, len(names[0]))[0] if names[0].isupper() else full_names(stream, 1)[0]
        if name not in names:
            return name
