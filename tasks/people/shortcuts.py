"""Rules that answer questions about biographies from a part of what is asked, kept to see what they earn."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from fathom.tasks.base import Instance, Shortcut
from fathom.tasks.people.population import FIRST_YEAR, N_DAYS, N_YEARS, Person, person_of, show_attribute
from fathom.tasks.people.questions import COUNTS, MENTIONS, N_RESIDUES, join_values
from fathom.tasks.stream import Stream

_Row = Mapping[str, Any]


def said_of(who: Person, facts: Mapping[str, Any]) -> str | None:
    """Return what the answer would be if a question about one person were about this one."""
    operation = facts["operation"]
    if operation in ("extract", "partial"):
        return show_attribute(who, facts["attributes"][0])
    if operation == "dual":
        return join_values(who, facts["attributes"])
    if operation == "even":
        return "no" if who.month % 2 else "yes"
    if operation == "remainder":
        return str(who.month % N_RESIDUES)
    if operation == "listed":
        return "yes" if who.major in facts["list"] else "no"
    return who.name if operation == "inverse" else None


def _choose(name: str, item: Instance, style: str, values: Sequence[str]) -> str | None:
    """Return one of the values, where candidates are given one of those that are values."""
    fit = [choice for choice in item.choices if choice in values] if style == "choice" else values
    return Stream("shortcut", name, item.id).choice(fit) if fit else None


def _at(place: int, item: Instance, _: str) -> str | None:
    return said_of(person_of(item.facts["people"][place]), item.facts)


def _usual(item: Instance, _: str) -> str | None:
    said = [said_of(person_of(row), item.facts) for row in item.facts["people"]]
    return Counter(said).most_common(1)[0][0]


def some_with(item: Instance, style: str, part: int, stream: Stream) -> str:
    """Return somebody who has one of the two attributes of a search, among the candidates if there are any."""
    (attribute, wanted), people = list(item.facts["wanted"].items())[part], item.facts["people"]
    fit: list[str] = [row["name"] for row in people if show_attribute(person_of(row), attribute) == wanted]
    if style == "choice":
        fit = [choice for choice in item.choices if choice in fit]
    return stream.choice(fit)


def _half_search(part: int, item: Instance, style: str) -> str | None:
    if item.facts["operation"] != "inverse":
        return None
    return some_with(item, style, part, Stream("shortcut", part, item.id))


def _mentions(less: Callable[[int], float], item: Instance, style: str) -> str | None:
    """Return the count that is nearest to the number of mentions less those that are expected to be others."""
    if item.facts["operation"] != "count":
        return None
    total = len(item.facts["people"])
    shown = item.question.rpartition("\n")[0].count(item.facts["wanted"]["city"]) - less(total)
    counts = [int(choice) for choice in item.choices] if style == "choice" else list(all_counts(item))
    return str(min(counts, key=lambda count: abs(count - shown)))


def all_counts(item: Instance) -> Sequence[int]:
    """Return the numbers that the text of a count question makes possible."""
    return next(counts for counts in COUNTS[len(item.facts["people"])] if int(item.gold) in counts)


def _others_expected(total: int) -> float:
    counts, mentions = COUNTS[total][0], MENTIONS[total]
    return sum(mentions) / len(mentions) - sum(counts) / len(counts)


def _asked(item: Instance) -> list[_Row]:
    names = item.facts["asked"]
    return [row for name in names for row in item.facts["people"] if row["name"] == name]


def years_only(item: Instance, style: str, stream: Stream) -> str:
    """Return a difference in months that the two years allow: a candidate, or else the years and one month."""
    one, two = _asked(item)
    months = 12 * abs(one["year"] - two["year"])
    near = [choice for choice in item.choices if abs(int(choice) - months) < 12]
    return stream.choice(near) if style == "choice" else str(months + 1)


def _years(item: Instance, style: str) -> str | None:
    if item.facts["operation"] != "subtract":
        return None
    return years_only(item, style, Stream("shortcut", "years", item.id))


def _months(item: Instance, style: str) -> str | None:
    if item.facts["operation"] != "subtract" or style != "choice":
        return None
    one, two = _asked(item)
    left = {(one["month"] - two["month"]) % 12, (two["month"] - one["month"]) % 12}
    fit = [choice for choice in item.choices if int(choice) % 12 in left]
    return _choose("months", item, style, fit)


def _one_date(item: Instance, _: str) -> str | None:
    """Look up one of the two dates only, and compare it with the middle of its range."""
    facts = item.facts
    if facts["operation"] != "compare":
        return None
    row = _asked(item)[0]
    if facts["scale"] == "life":
        is_late = row["year"] >= FIRST_YEAR + N_YEARS // 2
    else:
        is_late = N_DAYS * (row["month"] - 1) + row["day"] > 6 * N_DAYS
    return str(facts["asked"][0 if is_late == (facts["which"] == "later") else 1])


def _first_asked(item: Instance, _: str) -> str | None:
    return item.facts["asked"][0] if item.facts["operation"] == "compare" else None


def _middle(item: Instance, _: str) -> str | None:
    if not all(choice.isdecimal() for choice in item.choices):
        return None
    return sorted(item.choices, key=int)[len(item.choices) // 2]


def _longest(item: Instance, _: str) -> str | None:
    return max(item.choices, key=len)


def _shortest(item: Instance, _: str) -> str | None:
    return min(item.choices, key=len)


SHORTCUTS: tuple[Shortcut, ...] = (
    Shortcut("first_person", "Answers about the first person of the text.", partial(_at, 0)),
    Shortcut("last_person", "Answers about the last person of the text.", partial(_at, -1)),
    Shortcut("usual_value", "Gives what is true of most people.", _usual),
    Shortcut("first_part", "Searches by the first attribute only.", partial(_half_search, 0)),
    Shortcut("second_part", "Searches by the second attribute only.", partial(_half_search, 1)),
    Shortcut("mentions", "Counts how often the city is named, less one.", partial(_mentions, lambda _: 1)),
    Shortcut(
        "mentions_at_birth",
        "Counts how often the city is named, less the usual number of people who work there.",
        partial(_mentions, _others_expected),
    ),
    Shortcut("years_only", "Subtracts the years and not the months.", _years),
    Shortcut("months_only", "Subtracts the months and not the years.", _months, ("choice",)),
    Shortcut("one_date", "Looks at one date of two and guesses the other.", _one_date),
    Shortcut("first_asked", "Gives the person who is named first in the question.", _first_asked),
    Shortcut("middle_number", "Takes the candidate in the middle.", _middle, ("choice",)),
    Shortcut("longest", "Takes the longest candidate.", _longest, ("choice",)),
    Shortcut("shortest", "Takes the shortest candidate.", _shortest, ("choice",)),
)
