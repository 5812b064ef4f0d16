"""People and one question about them, drawn in one of eight modes.

No part of a question is enough to answer it. All values of an attribute are equally frequent. Yes and no are equally
likely, and so are all remainders and all counts. In questions that count, the city that is asked about is mentioned
equally often, whatever the answer. In comparisons, the two dates are close. In searches and differences, all candidates
agree in each part of what is asked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fathom.tasks.base import N_CHOICES
from fathom.tasks.people.population import (
    ATTRIBUTE_DIGITS,
    ATTRIBUTES,
    CITIES,
    EMPLOYERS_BY_CITY,
    MAJORS,
    N_DAYS,
    N_YEARS,
    Person,
    draw_numbers,
    make_person,
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
N_DAYS_A_YEAR = 12 * N_DAYS
_PAIRS = tuple((first, second) for first in ATTRIBUTES for second in ATTRIBUTES if first != second)
N_RESIDUES = 6
N_SHOWN_MONTHS = 10
"""Different months among 10 people or more: a divisor of 20 and 100, so that all are equally frequent."""
N_LISTED = 6
MOST_YEARS_NEAR, MOST_DAYS_NEAR = 15, 28
"""Greatest distance of the two dates of a comparison, in years of life or in days of the calendar year. Of dates far
apart, the one near the end of its range would be the later one, without a look at the other."""
YEARS_APART = range(10, 83)
"""Differences of the two years of a subtraction, so that every number of months has three digits."""
N_MONTHS_APART = 11
COUNTS: Mapping[int, tuple[tuple[int, ...], ...]] = {
    5: ((1, 4), (2, 3)),
    20: ((2, 3, 4, 5, 6),),
    100: (tuple(range(10, 17)),),
    300: (tuple(range(34, 42)),),
    1_000: (tuple(range(55, 71)),),
}
"""People born in each city of a count question, by the number of people: one row is drawn, all counts in it differ."""
MENTIONS: Mapping[int, tuple[int, ...]] = {
    5: (4, 5), 20: (6, 7, 8), 100: (16, 18, 20), 300: (41, 50, 60), 1_000: (70, 85, 100),
}  # fmt: skip
"""How often each of these cities is mentioned, as a city of birth or of work: one number is drawn for all of them."""
N_OTHER_CITIES = 8
"""Cities of work of everybody else in a count question, besides those in which one person each was born."""
SIDES: Mapping[int, int] = {5: 2, 20: 4, 100: 9, 300: 15, 1_000: 27}
"""Number of values of each attribute of an inverse question, by the number of people."""
SIDE_OF_CANDIDATES = 3

SEARCHES: Mapping[tuple[str, ...], str] = {
    ("date", "city"): "Who was born on {} in {}?",
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


def n_shown(count: int, size: int) -> int:
    """Return how many values, all equally frequent, so many people have of an attribute with `size` values."""
    return next(n for n in range(min(count, size), 0, -1) if count % n == 0)


def _spread(stream: Stream, numbers: list[int], attribute: str) -> list[int]:
    """Give people different values of the attribute; if it has too few, values that are equally frequent."""
    count = len(numbers)
    size = len(CITIES) if attribute == "work_city" else ATTRIBUTE_DIGITS[attribute].size
    shown = n_shown(count, size)
    values = stream.sample(range(size), shown)
    if shown < count:
        values = stream.shuffle(values * (count // shown))
    if attribute == "work_city":
        return _put(numbers, "employer", _firms(stream, values))
    return _put(numbers, attribute, values)


def _firms(stream: Stream, cities: Sequence[int]) -> list[int]:
    """Draw an employer in each city."""
    seats = [EMPLOYERS_BY_CITY[city] for city in cities]
    return [at[word % len(at)] for at, word in zip(seats, stream.words(len(cities)), strict=True)]


def _people(names: Sequence[str], numbers: Sequence[int]) -> list[Person]:
    return [make_person(name, number) for name, number in zip(names, numbers, strict=True)]


def _other_values(stream: Stream, people: list[Person], at: int, show: Callable[[Person], str]) -> list[str]:
    """Return different values of other people as wrong candidates."""
    gold, wrong = show(people[at]), dict[str, None]()
    for other in stream.shuffle(people):
        value = show(other)
        if value != gold:
            wrong[value] = None
            if len(wrong) == N_CHOICES - 1:
                break
    return list(wrong)


def ask_attribute(who: Person, attribute: str) -> tuple[str, str]:
    """Ask for an attribute of a person; return the question and the answer."""
    return ASKS[attribute].format(who.name), show_attribute(who, attribute)


def _extract(stream: Stream, names: list[str]) -> BioQuestion:
    attribute = stream.choice(ATTRIBUTES)
    people = _people(names, _spread(stream, draw_numbers(stream, len(names)), attribute))
    at = stream.below(len(people))
    wrong = _other_values(stream, people, at, lambda other: show_attribute(other, attribute))
    facts = {"operation": "extract", "attributes": [attribute], "asked": [names[at]]}
    return BioQuestion(people, *ask_attribute(people[at], attribute), wrong, facts)


def _partial(stream: Stream, names: list[str]) -> BioQuestion:
    part = stream.choice(("year", "month"))
    numbers = draw_numbers(stream, len(names))
    if part == "year":
        numbers = _spread(stream, numbers, part)
    else:
        several = stream.sample(range(12), min(N_SHOWN_MONTHS, len(names)))
        numbers = _put(numbers, "month", stream.shuffle(several * (len(names) // len(several))))
    people = _people(names, numbers)
    at = stream.below(len(people))
    wrong = _other_values(stream, people, at, lambda other: show_attribute(other, part))
    facts = {"operation": "partial", "attributes": [part], "asked": [names[at]]}
    return BioQuestion(people, ASKS[part].format(names[at]), show_attribute(people[at], part), wrong, facts)


def join_values(who: Person, attributes: Sequence[str]) -> str:
    """Return the answer to a dual question: the two values separated by a semicolon."""
    return f"{show_attribute(who, attributes[0])}; {show_attribute(who, attributes[1])}"


def _dual(stream: Stream, names: list[str]) -> BioQuestion:
    asked = stream.choice(_PAIRS)
    people = _people(names, _spread(stream, draw_numbers(stream, len(names)), asked[0]))
    at = stream.below(len(people))
    wrong = _other_values(stream, people, at, lambda other: join_values(other, asked))
    question = (
        f"For {names[at]}, give {NOUNS[asked[0]]} and {NOUNS[asked[1]]}, "
        "in this order, with a semicolon between the two."
    )
    facts = {"operation": "dual", "attributes": list(asked), "asked": [names[at]]}
    return BioQuestion(people, question, join_values(people[at], asked), wrong, facts)


_NUMBERED = "Number the months from 1 (January) to 12 (December). "


def _classify(stream: Stream, names: list[str]) -> BioQuestion:
    numbers = draw_numbers(stream, len(names))
    operation = stream.choice(("even", "remainder", "listed"))
    if operation == "listed":
        return _listed(stream, names, _spread(stream, numbers, "major"))
    people = _people(names, _put(numbers, "month", _months(stream, len(names))))
    at = stream.below(len(people))
    if operation == "remainder":
        left = people[at].month % N_RESIDUES
        question = (
            f"{_NUMBERED}What remainder, a whole number from 0 to {N_RESIDUES - 1}, does the number of {names[at]}'s "
            f"month of birth leave when divided by {N_RESIDUES}?"
        )
        seen = sorted({other.month % N_RESIDUES for other in people})
        wrong = [str(stream.choice([other for other in seen if other != left]))]
        return BioQuestion(people, question, str(left), wrong, {"operation": operation, "asked": [names[at]]})
    # The answer is drawn first, then the person: the majority of the people says nothing.
    odd = stream.below(2)
    at = stream.choice([place for place, who in enumerate(people) if who.month % 2 == odd])
    question = f"{_NUMBERED}Was {names[at]} born in a month with an even number? The answer is yes or no."
    gold, wrong_one = ("no", "yes") if people[at].month % 2 else ("yes", "no")
    return BioQuestion(people, question, gold, [wrong_one], {"operation": operation, "asked": [names[at]]})


def _months(stream: Stream, count: int) -> list[int]:
    """Draw months, from 0 for January: two of them, one even and one odd, or five remainders equally often."""
    if count == 2:
        return stream.shuffle([2 * stream.below(6), 2 * stream.below(6) + 1])
    several = stream.sample(range(N_RESIDUES), N_RESIDUES - 1) * (count // (N_RESIDUES - 1))
    halves = [word & 1 for word in stream.words(count)]
    return [left + N_RESIDUES * half for left, half in zip(stream.shuffle(several), halves, strict=True)]


def _listed(stream: Stream, names: list[str], numbers: list[int]) -> BioQuestion:
    """Ask whether a subject is on a list; for yes and for no, equally many subjects of the people are on it."""
    count = len(names)
    order = stream.shuffle(range(count))
    yes = stream.below(2)
    n_known = min(N_LISTED, count // 2)
    listed = order[:n_known] if yes else order[1 : n_known + 1]
    majors = [digit(number, "major") for number in numbers]
    unseen = [major for major in range(len(MAJORS)) if major not in majors]
    on_it = [majors[at] for at in listed] + stream.sample(unseen, N_LISTED - n_known)
    subjects = [MAJORS[major] for major in stream.shuffle(on_it)]
    name = names[order[0]]
    question = f"Is the subject that {name} studied on this list: {', '.join(subjects)}? The answer is yes or no."
    gold, wrong = ("yes", "no") if yes else ("no", "yes")
    facts = {"operation": "listed", "asked": [name], "list": subjects}
    return BioQuestion(_people(names, numbers), question, gold, [wrong], facts)


def _near(stream: Stream, size: int, most: int) -> tuple[int, int]:
    """Draw two numbers below `size` that differ by 1 to `most`, the lower one first."""
    apart = 1 + stream.below(most)
    low = stream.below(size - apart)
    return low, low + apart


def _compare(stream: Stream, names: list[str]) -> BioQuestion:
    """Ask which of two close dates comes first; what does not count of them is drawn freely."""
    scale, which = stream.choice(("life", "year")), stream.choice(("earlier", "later"))
    numbers = draw_numbers(stream, len(names))
    pair = early, late = tuple(stream.distinct(2, len(names)))
    if scale == "life":
        parts = [_near(stream, N_YEARS, MOST_YEARS_NEAR), stream.distinct(2, N_DAYS_A_YEAR)]
    else:
        parts = [stream.distinct(2, N_YEARS), _near(stream, N_DAYS_A_YEAR, MOST_DAYS_NEAR)]
    for at, year, day in zip(pair, *parts, strict=True):
        _set(numbers, at, "year", year)
        _set(numbers, at, "month", day // N_DAYS)
        _set(numbers, at, "day", day % N_DAYS)
    people = _people(names, numbers)
    gold, other = (early, late) if which == "earlier" else (late, early)
    a, b = stream.shuffle(pair)
    question = f"Who was born {which}, {names[a]} or {names[b]}? Give the {_NOUN}."
    if scale == "year":
        question = (
            "Leave the years of birth aside and look at day and month only. "
            f"Who has the {which} birthday in the calendar year, {names[a]} or {names[b]}? Give the {_NOUN}."
        )
    facts = {"operation": "compare", "asked": [names[a], names[b]], "scale": scale, "which": which}
    return BioQuestion(people, question, names[gold], [names[other]], facts)


def _subtract(stream: Stream, names: list[str]) -> BioQuestion:
    """Ask for 12 * years + months or 12 * years - months.

    The candidates are all combinations of two differences of years, two of months, and both signs. Both differences
    are drawn alike, so the years alone leave four candidates, and so do the months.
    """
    years, other_years = stream.sample(YEARS_APART, 2)
    while abs(years - other_years) < 2:
        other_years = stream.choice(YEARS_APART)
    months, other_months = (1 + at for at in stream.distinct(2, N_MONTHS_APART))
    signs = stream.shuffle((1, -1))
    numbers = draw_numbers(stream, len(names))
    early, late = stream.distinct(2, len(names))
    year, month = stream.below(N_YEARS - years), stream.below(12 - months)
    _set(numbers, early, "year", year)
    _set(numbers, late, "year", year + years)
    _set(numbers, early if signs[0] > 0 else late, "month", month)
    _set(numbers, late if signs[0] > 0 else early, "month", month + months)
    a, b = stream.shuffle((early, late))
    question = (
        f"How many months lie between the birth of {names[a]} and the birth of {names[b]}? Go by month and year and "
        "ignore the days: from any month to the next counts 1, to the same month of the next year 12. "
        "The answer is a whole number."
    )
    gold, *wrong = (
        str(12 * y + sign * m) for y in (years, other_years) for m in (months, other_months) for sign in signs
    )
    facts = {"operation": "subtract", "asked": [names[a], names[b]]}
    return BioQuestion(_people(names, numbers), question, gold, wrong, facts)


def _inverse(stream: Stream, names: list[str]) -> BioQuestion:
    """Ask for a person by two attributes.

    Every value of the first goes with every value of the second, in a group of one person or two. So all groups look
    alike, and one attribute alone leaves as many groups as the other has values.
    """
    count, kind = len(names), stream.choice(_KINDS)
    side = SIDES[count]
    group_of = stream.shuffle([at % side**2 for at in range(count)])
    numbers = draw_numbers(stream, count)
    for place, attribute in enumerate(kind):
        values = stream.sample(range(ATTRIBUTE_DIGITS[attribute].size), side)
        numbers = _put(numbers, attribute, [values[divmod(group, side)[place]] for group in group_of])
    people = _people(names, numbers)
    groups = _candidate_groups(stream, side)
    members: dict[int, list[int]] = {group: [] for group in groups}
    for at, group in enumerate(group_of):
        if group in members:
            members[group].append(at)
    fit, *others = [stream.choice(members[group]) for group in groups]
    wanted = {attribute: show_attribute(people[fit], attribute) for attribute in kind}
    question = f"{SEARCHES[kind].format(*wanted.values())} Several people may fit: give the {_NOUN} of one of them."
    facts = {"operation": "inverse", "wanted": wanted, "accepts": "verifier"}
    return BioQuestion(people, question, names[fit], [names[at] for at in others], facts)


def _candidate_groups(stream: Stream, side: int) -> list[int]:
    """Draw the group that is asked for, and others: all combinations of some values, but one if they are too many."""
    rows, columns = (stream.sample(range(side), min(side, SIDE_OF_CANDIDATES)) for _ in range(2))
    fit, *others = [row * side + column for row in rows for column in columns]
    return [fit, *stream.sample(others, min(N_CHOICES - 1, len(others)))]


def _count(stream: Stream, names: list[str]) -> BioQuestion:
    """Ask how many were born in a city; each number of COUNTS belongs to one city.

    All these cities are mentioned equally often, since the more people were born in one, the fewer work there. Nobody
    works in the city of birth, if that is one of them.
    """
    total = len(names)
    counts, mentions = stream.shuffle(stream.choice(COUNTS[total])), stream.choice(MENTIONS[total])
    n_born, n_mentioned = sum(counts), mentions * len(counts)
    n_alone, n_elsewhere = total - n_born, total - (n_mentioned - n_born)
    cities = stream.distinct(len(counts) + n_alone + min(n_elsewhere, N_OTHER_CITIES), len(CITIES))
    asked, others = cities[: len(counts)], cities[len(counts) :]
    born = [city for city, count in zip(asked, counts, strict=True) for _ in range(count)] + others[:n_alone]
    at_work = [city for city, count in zip(asked, counts, strict=True) for _ in range(mentions - count)]
    at_work += [others[word * len(others) >> 64] for word in stream.words(n_elsewhere)]
    people = stream.shuffle(list(zip(born, _apart(stream, born, stream.shuffle(at_work)), strict=True)))
    numbers = _put(draw_numbers(stream, total), "city", [born for born, _ in people])
    numbers = _put(numbers, "employer", _firms(stream, [at_work for _, at_work in people]))
    at = stream.below(len(counts))
    city, gold = asked[at], counts[at]
    wrong = [str(other) for other in counts if other != gold]
    facts = {"operation": "count", "wanted": {"city": CITIES[city]}}
    question = f"How many of these people were born in {CITIES[city]}? The answer is a whole number."
    return BioQuestion(_people(names, numbers), question, str(gold), wrong, facts)


def _apart(stream: Stream, born: Sequence[int], at_work: list[int]) -> list[int]:
    """Exchange cities of work until nobody works in the city of birth."""
    total = len(born)
    for at in range(total):
        while at_work[at] == born[at]:
            other = stream.below(total)
            if at_work[other] != born[at] and at_work[at] != born[other]:
                at_work[at], at_work[other] = at_work[other], at_work[at]
    return at_work


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
