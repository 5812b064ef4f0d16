"""People and one question about them, drawn in one of eight modes.

The draw prevents that counting what is shown helps a guesser: the people of a prompt differ in what is asked, months
are equally frequent, and yes and no, the remainders, and the counts are equally likely.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fathom.tasks.base import N_CHOICES
from fathom.tasks.people.population import (
    ATTRIBUTE_DIGITS,
    ATTRIBUTES,
    CITIES,
    EMPLOYER_CITIES,
    EMPLOYERS_BY_CITY,
    MAJORS,
    N_DATES,
    Person,
    birth_key,
    draw_numbers,
    make_person,
    months_apart,
    show_attribute,
)
from fathom.tasks.stream import Stream


@dataclass(frozen=True, slots=True)
class BioQuestion:
    """A question, and the people to be shown before it; `wrong` are candidates, `facts` say what is asked."""

    people: list[Person]
    question: str
    gold: str
    wrong: Sequence[str]
    facts: dict[str, Any]


ASKS = {
    "date": "When was {} born? Give day, month and year in the form used above.",
    "city": "In which city was {} born?",
    "university": "Where did {} study? Give the full name of the university, college, academy or polytechnic.",
    "major": "Which subject did {} study?",
    "employer": "For which employer did {} work? Give the full name.",
    "work_city": "In which city did {} work?",
    "year": "In which year was {} born?",
    "month": "In which month was {} born? Give the name of the month.",
}
NOUNS = {
    "date": "the date of birth (day, month and year, in the form used above)",
    "city": "the city of birth",
    "university": "the full name of the place of study",
    "major": "the subject studied",
    "employer": "the full name of the employer",
    "work_city": "the city of work",
}
_NOUN = "<name>"
_PAIRS = tuple((first, second) for first in ATTRIBUTES for second in ATTRIBUTES if first != second)
N_RESIDUES = 6
N_SHOWN_MONTHS = 10
"""Different months among 10 people or more: a divisor of 20 and 100, so that all are equally frequent."""
N_LISTED = 6
LEAST_APART = 8
"""Fewest months between two births, so that N_CHOICES candidates fit around any gold without going below 1."""
COUNTS: Mapping[int, tuple[tuple[int, ...], ...]] = {
    5: ((1, 4), (2, 3)),
    20: ((2, 3, 4, 5, 6),),
    100: ((9, 10, 11, 12, 13, 14, 15, 16),),
}
"""People born in each city of a count question, by the number of people: one row is drawn, all counts in it differ."""

SEARCHES: Mapping[tuple[str, ...], str] = {
    ("date",): "Who was born on {}?",
    ("city",): "Who was born in {}?",
    ("employer",): "Who worked for {}?",
    ("city", "employer"): "Who was born in {} and worked for {}?",
    ("major", "university"): "Who studied {} at {}?",
}
_KINDS = tuple(SEARCHES)


def digit(number: int, attribute: str) -> int:
    """Return one attribute of a person's number."""
    weight, size = ATTRIBUTE_DIGITS[attribute]
    return number // weight % size


def _put(numbers: list[int], attribute: str, values: Sequence[int]) -> list[int]:
    weight, size = ATTRIBUTE_DIGITS[attribute]
    return [number + (value - number // weight % size) * weight for number, value in zip(numbers, values, strict=True)]


def _set(numbers: list[int], at: int, attribute: str, value: int) -> None:
    weight, size = ATTRIBUTE_DIGITS[attribute]
    numbers[at] += (value - numbers[at] // weight % size) * weight


def _numbers(stream: Stream, count: int) -> list[int]:
    """Draw numbers; a person shown alone works in another city than that of birth, so that six values differ."""
    numbers = draw_numbers(stream, count)
    while count == 1 and digit(numbers[0], "city") == EMPLOYER_CITIES[digit(numbers[0], "employer")]:
        numbers = draw_numbers(stream, 1)
    return numbers


def _spread(stream: Stream, numbers: list[int], attribute: str) -> list[int]:
    """Give all people different values of the attribute."""
    count = len(numbers)
    if count == 1:
        return numbers
    if attribute != "work_city":
        return _put(numbers, attribute, stream.sample(range(ATTRIBUTE_DIGITS[attribute].size), count))
    seats = [EMPLOYERS_BY_CITY[city] for city in stream.sample(range(len(CITIES)), count)]
    firms = [at[word % len(at)] for at, word in zip(seats, stream.words(count), strict=True)]
    return _put(numbers, "employer", firms)


def _people(names: Sequence[str], numbers: Sequence[int]) -> list[Person]:
    return [make_person(name, number) for name, number in zip(names, numbers, strict=True)]


def _others(stream: Stream, people: list[Person], at: int) -> list[Person]:
    """Return as many other people as there are wrong candidates."""
    return stream.sample(people[:at] + people[at + 1 :], min(N_CHOICES, len(people)) - 1)


def ask_attribute(who: Person, attribute: str) -> tuple[str, str]:
    """Ask for an attribute of a person; return the question and the answer."""
    return ASKS[attribute].format(who.name), show_attribute(who, attribute)


def _extract(stream: Stream, names: list[str]) -> BioQuestion:
    attribute = stream.choice(ATTRIBUTES)
    people = _people(names, _spread(stream, _numbers(stream, len(names)), attribute))
    at = stream.below(len(people))
    wrong = [show_attribute(other, attribute) for other in _others(stream, people, at)]
    if len(people) == 1:
        wrong = [show_attribute(people[0], other) for other in ATTRIBUTES if other != attribute]
    facts = {"operation": "extract", "attributes": [attribute], "asked": [names[at]]}
    return BioQuestion(people, *ask_attribute(people[at], attribute), wrong, facts)


def _partial(stream: Stream, names: list[str]) -> BioQuestion:
    part, other_part = stream.shuffle(("year", "month"))
    numbers = _numbers(stream, len(names))
    if part == "year" or len(names) == 1:
        numbers = _spread(stream, numbers, part)
    else:
        several = stream.sample(range(12), min(N_SHOWN_MONTHS, len(names)))
        numbers = _put(numbers, "month", stream.shuffle(several * (len(names) // len(several))))
    people = _people(names, numbers)
    at = stream.below(len(people))
    gold = show_attribute(people[at], part)
    values = dict.fromkeys([show_attribute(other, part) for other in people]) if len(people) > 1 else {}
    wrong = [value for value in values if value != gold] or [show_attribute(people[0], other_part)]
    facts = {"operation": "partial", "attributes": [part], "asked": [names[at]]}
    return BioQuestion(people, ASKS[part].format(names[at]), gold, wrong, facts)


def join_values(who: Person, attributes: Sequence[str]) -> str:
    """Return the answer to a dual question: the two values separated by a semicolon."""
    return f"{show_attribute(who, attributes[0])}; {show_attribute(who, attributes[1])}"


def _dual(stream: Stream, names: list[str]) -> BioQuestion:
    asked = stream.choice(_PAIRS)
    people = _people(names, _spread(stream, _numbers(stream, len(names)), asked[0]))
    at = stream.below(len(people))
    wrong = [join_values(other, asked) for other in _others(stream, people, at)]
    if len(people) == 1:
        wrong = [join_values(people[0], other) for other in stream.sample(_PAIRS, N_CHOICES) if other != asked]
    question = (
        f"For {names[at]}, give {NOUNS[asked[0]]} and {NOUNS[asked[1]]}, "
        "in this order, with a semicolon between the two."
    )
    facts = {"operation": "dual", "attributes": list(asked), "asked": [names[at]]}
    return BioQuestion(people, question, join_values(people[at], asked), wrong, facts)


_NUMBERED = "Number the months from 1 (January) to 12 (December). "


def _classify(stream: Stream, names: list[str]) -> BioQuestion:
    numbers = _numbers(stream, len(names))
    operation = stream.choice(("even", "remainder", "listed"))
    if operation == "listed":
        return _listed(stream, names, _spread(stream, numbers, "major"))
    if len(names) > 1:
        # Five of the six remainders, equally often; month 0 of the digits is January.
        several = stream.sample(range(N_RESIDUES), N_RESIDUES - 1) * (len(names) // (N_RESIDUES - 1))
        halves = [word & 1 for word in stream.words(len(names))]
        months = [left + N_RESIDUES * half for left, half in zip(stream.shuffle(several), halves, strict=True)]
        numbers = _put(numbers, "month", months)
    people = _people(names, numbers)
    at = stream.below(len(people))
    if operation == "remainder":
        left = people[at].month % N_RESIDUES
        question = f"{_NUMBERED}What remainder does the number of {names[at]}'s month of birth leave when divided by 6?"
        seen = sorted({other.month % N_RESIDUES for other in people}) if len(people) > 1 else range(N_RESIDUES)
        wrong = [str(stream.choice([other for other in seen if other != left]))]
        return BioQuestion(people, question, str(left), wrong, {"operation": operation, "asked": [names[at]]})
    if len(people) > 1:  # the answer is drawn first, then the person: the majority of the people says nothing
        odd = stream.below(2)
        at = stream.choice([place for place, who in enumerate(people) if who.month % 2 == odd])
    question = f"{_NUMBERED}Was {names[at]} born in a month with an even number? Answer yes or no."
    gold, wrong_one = ("no", "yes") if people[at].month % 2 else ("yes", "no")
    return BioQuestion(people, question, gold, [wrong_one], {"operation": operation, "asked": [names[at]]})


def _listed(stream: Stream, names: list[str], numbers: list[int]) -> BioQuestion:
    """Ask whether a subject is on a list; for yes and for no, equally many subjects of the people are on it."""
    count = len(names)
    order = stream.shuffle(range(count))
    yes = stream.below(2)
    n_shown = min(N_LISTED, count // 2) if count > 1 else yes
    listed = order[:n_shown] if yes else order[1 : n_shown + 1]
    majors = [digit(number, "major") for number in numbers]
    unseen = [major for major in range(len(MAJORS)) if major not in majors]
    on_it = [majors[at] for at in listed] + stream.sample(unseen, N_LISTED - n_shown)
    subjects = [MAJORS[major] for major in stream.shuffle(on_it)]
    name = names[order[0]]
    question = f"Is the subject that {name} studied on this list: {', '.join(subjects)}? Answer yes or no."
    gold, wrong = ("yes", "no") if yes else ("no", "yes")
    facts = {"operation": "listed", "asked": [name], "list": subjects}
    return BioQuestion(_people(names, numbers), question, gold, [wrong], facts)


def _two(stream: Stream, names: list[str], fit: Callable[[Person, Person], bool]) -> tuple[list[Person], int, int]:
    """Draw people, and two of them whose dates of birth fit each other."""
    numbers = _numbers(stream, len(names))
    a, b = stream.distinct(2, len(names))
    while True:
        one, two = make_person(names[a], numbers[a]), make_person(names[b], numbers[b])
        if fit(one, two):
            return _people(names, numbers), a, b
        for at in (a, b):
            _set(numbers, at, "date", stream.below(N_DATES))


def _clear(one: Person, two: Person) -> bool:
    return one.year != two.year and (one.month, one.day) != (two.month, two.day)


def _compare(stream: Stream, names: list[str]) -> BioQuestion:
    people, a, b = _two(stream, names, _clear)
    scale, which = stream.choice(("life", "year")), stream.choice(("earlier", "later"))
    first = min((a, b), key=lambda at: birth_key(people[at], scale))
    gold = first if which == "earlier" else a + b - first
    question = f"Who was born {which}, {names[a]} or {names[b]}? Give the {_NOUN}."
    if scale == "year":
        question = (
            "Leave the years of birth aside and look at day and month only. "
            f"Who has the {which} birthday in the calendar year, {names[a]} or {names[b]}? Give the {_NOUN}."
        )
    facts = {"operation": "compare", "asked": [names[a], names[b]], "scale": scale, "which": which}
    return BioQuestion(people, question, names[gold], [names[a + b - gold]], facts)


def _countable(one: Person, two: Person) -> bool:
    # With different months, twelve times the difference of the years is never right.
    return one.month != two.month and months_apart(one, two) >= LEAST_APART


def _subtract(stream: Stream, names: list[str]) -> BioQuestion:
    people, a, b = _two(stream, names, _countable)
    gold = months_apart(people[a], people[b])
    question = (
        f"How many months lie between the birth of {names[a]} and the birth of {names[b]}? Go by month and year and "
        "ignore the days: from any month to the next counts 1, to the same month of the next year 12."
    )
    # Candidates are next to each other among the numbers that are no multiples of 12, since the gold is none.
    rank = gold - gold // 12
    low = rank - stream.below(N_CHOICES)
    wrong = [str(near + (near - 1) // 11) for near in range(low, low + N_CHOICES) if near != rank]
    return BioQuestion(people, question, str(gold), wrong, {"operation": "subtract", "asked": [names[a], names[b]]})


def n_groups(count: int) -> int:
    """Return the number of different answers of an inverse question: three tenths of the people have a double."""
    return count - count * 3 // 10


def _inverse(stream: Stream, names: list[str]) -> BioQuestion:
    """Ask for a person by one attribute or two.

    All people look alike in this respect: a group of one or two people shares all that is asked; if that is two
    attributes,
    another group shares only the first, and a third only the second. So the texts do not show which group is asked for.
    """
    count, kind = len(names), stream.choice(_KINDS)
    groups = n_groups(count)
    most = min(N_CHOICES, groups)
    group_of = stream.shuffle([at % groups for at in range(count)])
    numbers = _numbers(stream, count)
    for place, attribute in enumerate(kind):
        values = stream.sample(range(ATTRIBUTE_DIGITS[attribute].size), groups)
        if len(kind) > 1:
            values = [values[(group + place) % groups // 2] for group in range(groups)]
        numbers = _put(numbers, attribute, [values[group] for group in group_of])
    people = _people(names, numbers)
    members = [[at for at in range(count) if group_of[at] == group] for group in stream.sample(range(groups), most)]
    fit, *others = [stream.choice(member) for member in members]
    wanted = {attribute: show_attribute(people[fit], attribute) for attribute in kind}
    question = f"{SEARCHES[kind].format(*wanted.values())} Several people may fit: give the {_NOUN} of one of them."
    facts = {"operation": "inverse", "wanted": wanted, "accepts": "verifier"}
    return BioQuestion(people, question, names[fit], [names[at] for at in others], facts)


def _count(stream: Stream, names: list[str]) -> BioQuestion:
    """Ask how many were born in a city; each number of COUNTS belongs to one city, where somebody works as well."""
    numbers = _spread(stream, _numbers(stream, len(names)), "work_city")
    counts = stream.choice(COUNTS[len(names)])
    cities = [EMPLOYER_CITIES[digit(number, "employer")] for number in numbers[: len(counts)]]
    born = [city for city, n_born in zip(cities, stream.shuffle(counts), strict=True) for _ in range(n_born)]
    numbers = _put(numbers, "city", stream.shuffle(born))
    city = stream.choice(cities)
    gold = born.count(city)
    wrong = [str(other) for other in counts if other != gold]
    facts = {"operation": "count", "wanted": {"city": CITIES[city]}}
    return BioQuestion(
        _people(names, numbers), f"How many of these people were born in {CITIES[city]}?", str(gold), wrong, facts
    )


MODES: Mapping[str, Callable[[Stream, list[str]], BioQuestion]] = {
    "extract": _extract,
    "partial": _partial,
    "dual": _dual,
    "classify": _classify,
    "compare": _compare,
    "subtract": _subtract,
    "inverse": _inverse,
    "count": _count,
}
"""Modes by name."""


def draw_bio_question(stream: Stream, mode: str, names: list[str], noun: str) -> BioQuestion:
    """Draw people of these names and a question in one of MODES; `noun` is the word for a name."""
    made = MODES[mode](stream, names)
    return replace(made, question=made.question.replace(_NOUN, noun)) if _NOUN in made.question else made
