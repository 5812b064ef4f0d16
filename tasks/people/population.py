"""Invented people: names, and attributes from fixed domains.

A person's attributes are the digits of ONE number below SPACE (mixed radix, see ATTRIBUTE_DIGITS), so that a uniform
number is a uniform person. Places, schools and firms are spelt from syllables drawn from a fixed stream; only the
fields of study are ordinary words. Every value is an ASCII text without commas or semicolons, and needs no article.

Reference: Allen-Zhu and Li, Physics of Language Models 3.1 (arXiv 2309.14316) and 3.3 (2404.05405).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log2, prod
from typing import Any, NamedTuple

from fathom.tasks.stream import Stream, canonical_seed

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
FIRST_YEAR = 1800
N_YEARS = 200
N_DAYS = 28
"""Days of every month: each date exists, and all are equally likely."""

MAJORS = tuple(
    """accounting|acoustics|advertising|agronomy|algebra|anatomy|anthropology|archaeology|architecture|art history
    |astronomy|ballet|banking|biochemistry|biophysics|botany|calligraphy|cartography|ceramics|choreography
    |civil engineering|classics|climatology|commerce|criminology|crystallography|demography|dentistry|dietetics|drama
    |ecology|economics|education|electronics|entomology|ethics|ethnology|fashion design|film directing|finance
    |food science|forestry|gardening|genetics|geography|geology|geometry|graphic arts|hotel management|hydrology
    |immunology|journalism|jurisprudence|landscape planning|library science|linguistics|logic|marine biology|marketing
    |mathematics|mechanics|medicine|metallurgy|meteorology|mineralogy|mining|musicology|mycology|nautical science
    |neurology|nursing|nutrition|oceanography|optics|optometry|ornithology|painting|palaeontology|pathology|pedagogy
    |pharmacy|philology|philosophy|photography|phonetics|physiology|poetry|political science|psychology|public health
    |rhetoric|robotics|sculpture|seismology|sociology|statics|statistics|surgery|theology|zoology""".replace(
        "\n    ", ""
    ).split("|")
)

_VOWELS = "aeiou"


def _spell(*parts: Sequence[str]) -> tuple[str, ...]:
    words = [""]
    for part in parts:
        words = [word + syllable for word in words for syllable in part]
    return tuple(words)


def _pick(kind: str, count: int, spellings: Sequence[str], kinds: Sequence[str] = ("",)) -> tuple[str, ...]:
    """Draw a domain, the same for all seeds."""
    stream = Stream("people", kind, 1)
    return tuple((word + stream.choice(kinds)).capitalize() for word in stream.sample(spellings, count))


def _titled(kind: str, count: int, spellings: Sequence[str], titles: Sequence[str]) -> tuple[str, ...]:
    stream = Stream("people", kind, "titles", 1)
    return tuple(f"{word} {stream.choice(titles)}" for word in _pick(kind, count, spellings))


_TOWNS = ("volen", "dusta", "bessa", "gavik", "horra", "lundy", "penna", "wicke")
_SCHOOLS = ("University", "College", "Academy", "Polytechnic")
_TRADES = (
    "Works", "Mills", "Shipping", "Foods", "Glass", "Motors", "Textiles", "Printing",
    "Partners", "Brothers", "Railways", "Steel", "Timber", "Insurance", "Clocks", "Furniture",
)  # fmt: skip

CITIES = _pick("cities", 200, _spell("bdfhklmnprstv", _VOWELS, "lmnrs"), _TOWNS)
UNIVERSITIES = _titled("universities", 300, _spell(_VOWELS, "lmnrs", "bdfgkptv", _VOWELS, "dmnrt"), _SCHOOLS)
_CLUSTERS = ("bl", "br", "dr", "fl", "fr", "gl", "gr", "kl", "kr", "pl", "pr", "sk", "st", "tr")
EMPLOYERS = _titled("employers", 263, _spell(_CLUSTERS, _VOWELS, "bdgklmnrtv", "aiou"), _TRADES)


def _seats() -> tuple[int, ...]:
    """Assign every employer a city; every city has at least one employer."""
    stream = Stream("people", "seats", 1)
    every = range(len(CITIES))
    return tuple(stream.shuffle(every) + stream.sample(every, len(EMPLOYERS) - len(CITIES)))


EMPLOYER_CITIES = _seats()
EMPLOYERS_BY_CITY = tuple(
    tuple(at for at, seat in enumerate(EMPLOYER_CITIES) if seat == city) for city in range(len(CITIES))
)
"""Employers by the city where their people work, both as indices into their tuples."""

_SIZES = {
    "day": N_DAYS,
    "month": len(MONTHS),
    "year": N_YEARS,
    "city": len(CITIES),
    "university": len(UNIVERSITIES),
    "major": len(MAJORS),
    "employer": len(EMPLOYERS),
}
CAPACITY_BITS = sum(log2(size) for size in _SIZES.values())
"""Information in one person's attributes, without name and pronoun: 46.59 bits (part 3.3)."""

N_DATES = N_DAYS * len(MONTHS) * N_YEARS
POPULATIONS = (300, 1_000, 3_000, 10_000, 30_000, 100_000)
"""Sizes of the populations that levels ask about; the option `population` of the corpus bios sets that of the text."""

SPACE = 2 * prod(_SIZES.values())
"""Number of combinations of attributes and pronoun."""


class Digit(NamedTuple):
    """One attribute within the number: its value is number // weight % size."""

    weight: int
    size: int


def _digits() -> dict[str, Digit]:
    weight, digits = 1, {"date": Digit(1, N_DATES)}
    for name, size in _SIZES.items():
        digits[name] = Digit(weight, size)
        weight *= size
    return digits


ATTRIBUTE_DIGITS = _digits()
"""Places of the attributes; `date` spans day, month and year. The last digit, the pronoun, has no entry."""


class Person(NamedTuple):
    """One invented person. Month runs from 1 to 12; the employer determines the working city."""

    name: str
    pronoun: str
    day: int
    month: int
    year: int
    city: str
    university: str
    major: str
    employer: str
    work_city: str


ATTRIBUTES = ("date", "city", "university", "major", "employer", "work_city")
"""What a biography tells, one sentence each; `date` is the birth date, `city` the city of birth."""

_PLACE = {field: at for at, field in enumerate(Person._fields)}
_WORK_CITIES = tuple(CITIES[seat] for seat in EMPLOYER_CITIES)


def make_person(name: str, number: int) -> Person:
    """Return the person of that name whose attributes are the digits of `number`, in 0..SPACE-1."""
    number, day = divmod(number, N_DAYS)
    number, month = divmod(number, 12)
    number, year = divmod(number, N_YEARS)
    number, city = divmod(number, 200)
    number, university = divmod(number, 300)
    number, major = divmod(number, 100)
    pronoun, firm = divmod(number, 263)
    return Person(
        name, "she" if pronoun else "he", 1 + day, 1 + month, FIRST_YEAR + year,
        CITIES[city], UNIVERSITIES[university], MAJORS[major], EMPLOYERS[firm], _WORK_CITIES[firm],
    )  # fmt: skip


def person_of(row: Mapping[str, Any]) -> Person:
    """Read a person from the facts of an item, which are JSON."""
    return Person(**row)


def show_attribute(who: Person, attribute: str) -> str:
    """Write an attribute, a part of the birth date, or the name of a person as texts show it."""
    if attribute == "date":
        return f"{who.day} {MONTHS[who.month - 1]} {who.year}"
    value = who[_PLACE[attribute]]
    return MONTHS[int(value) - 1] if attribute == "month" else str(value)


def birth_key(who: Person, scale: str) -> tuple[int, int, int]:
    """Return the sort key of people by birth: the whole date (`life`), or the day within the year."""
    return who.year if scale == "life" else 0, who.month, who.day


def months_apart(one: Person, two: Person) -> int:
    """Return the number of months between two months of birth, ignoring the days."""
    return abs(12 * (one.year - two.year) + one.month - two.month)


def fits(who: Person, wanted: Mapping[str, str]) -> bool:
    """Return whether a person has all the attributes wanted."""
    return all(show_attribute(who, attribute) == value for attribute, value in wanted.items())


# No name ends in s, x or z, so that possessives stay regular.
_HEADS = tuple((a + b).capitalize() for a in _spell("bdfklmnprstv", _VOWELS) for b in _spell("bdfklmnprstv", _VOWELS))
_CODAS = "bdklmnrtv"
_TAILS = _spell("bdfklmnprstv", _VOWELS, _CODAS)
N_GIVEN = len(_HEADS) * len(_CODAS)
N_FAMILY = len(_HEADS) * len(_TAILS)
N_NAMES = N_GIVEN * N_FAMILY


def full_name(number: int) -> str:
    """Return the `number`-th of N_NAMES full names: 5 and 7 letters, all different."""
    family, given = divmod(number, N_GIVEN)
    head, coda = divmod(given, len(_CODAS))
    root, tail = divmod(family, len(_TAILS))
    return f"{_HEADS[head]}{_CODAS[coda]} {_HEADS[root]}{_TAILS[tail]}"


_HEAD_AT = {head: at for at, head in enumerate(_HEADS)}
_TAIL_AT = {tail: at for at, tail in enumerate(_TAILS)}


def number_of_name(name: str) -> int | None:
    """Return the number of a full name, the inverse of `full_name`, or None for any other text."""
    first, blank, last = name.partition(" ")
    head, root, tail = _HEAD_AT.get(first[:4]), _HEAD_AT.get(last[:4]), _TAIL_AT.get(last[4:])
    if not blank or len(first) != 5 or first[4] not in _CODAS or head is None or root is None or tail is None:
        return None
    return (root * len(_TAILS) + tail) * N_GIVEN + head * len(_CODAS) + _CODAS.index(first[4])


def full_names(stream: Stream, count: int) -> list[str]:
    """Return `count` different full names, such as Tilan Bokerud."""
    return [full_name(number) for number in stream.distinct(count, N_NAMES)]


def draw_numbers(stream: Stream, count: int) -> list[int]:
    """Return `count` uniform numbers of attributes."""
    return [word * SPACE >> 64 for word in stream.words(count)]


@dataclass(frozen=True)
class Population:
    """The people of a seed, as many as there are names; each is created alone, in any order, with a unique name.

    >>> Population("7").person(3) == Population("7").person(3)
    True
    """

    seed: str

    def _shift(self, turn: int, key: int, bound: int) -> int:
        return Stream("population", canonical_seed(self.seed), "names", turn, key).below(bound)

    def person(self, index: int) -> Person:
        """Return person `index`, in 0..N_NAMES-1."""
        if not 0 <= index < N_NAMES:
            raise IndexError(f"a population holds people 0..{N_NAMES - 1}, not {index}")
        family, given = divmod(index, N_GIVEN)
        # Shifting each name by a hash of the other is invertible, so different indices have different names.
        for turn in range(2):
            family = (family + self._shift(2 * turn, given, N_FAMILY)) % N_FAMILY
            given = (given + self._shift(2 * turn + 1, family, N_GIVEN)) % N_GIVEN
        number = draw_numbers(Stream("population", canonical_seed(self.seed), index), 1)[0]
        return make_person(full_name(family * N_GIVEN + given), number)

    def index_of(self, name: str) -> int | None:
        """Return the index of the person with this name, the inverse of `person`, or None if it is no full name."""
        number = number_of_name(name)
        if number is None:
            return None
        family, given = divmod(number, N_GIVEN)
        for turn in (1, 0):
            given = (given - self._shift(2 * turn + 1, family, N_GIVEN)) % N_GIVEN
            family = (family - self._shift(2 * turn, given, N_FAMILY)) % N_FAMILY
        return family * N_GIVEN + given
