import json
from collections import Counter
from itertools import combinations
from math import log2, prod

import pytest

from fathom.tasks.people.population import (
    ATTRIBUTE_DIGITS,
    CAPACITY_BITS,
    CITIES,
    EMPLOYER_CITIES,
    EMPLOYERS,
    EMPLOYERS_BY_CITY,
    MAJORS,
    MONTHS,
    N_NAMES,
    SPACE,
    UNIVERSITIES,
    Person,
    Population,
    birth_key,
    draw_numbers,
    fits,
    full_name,
    full_names,
    make_person,
    months_apart,
    person_of,
    show_attribute,
)
from fathom.tasks.stream import Stream

SIZES = {"day": 28, "month": 12, "year": 200, "city": 200, "university": 300, "major": 100, "employer": 263}
DOMAINS = {"cities": CITIES, "universities": UNIVERSITIES, "majors": MAJORS, "employers": EMPLOYERS}


def test_the_domains_have_the_sizes_of_the_design_and_hold_46_59_bits_a_person():
    assert {name: digit.size for name, digit in ATTRIBUTE_DIGITS.items() if name != "date"} == SIZES
    assert [len(set(domain)) for domain in DOMAINS.values()] == [200, 300, 100, 263]
    bits = log2(12 * 28 * 200) + log2(200) + log2(300) + log2(100) + log2(263)
    assert f"{bits:.2f}" == f"{CAPACITY_BITS:.2f}" == "46.59"
    assert prod(SIZES.values()) * 2 == SPACE


def test_no_value_hides_in_another_or_breaks_an_answer():
    values = [value for domain in DOMAINS.values() for value in domain]
    assert len(set(values)) == len(values)
    for a, b in combinations(sorted(values, key=len), 2):
        assert a not in b
    for value in values:
        assert value.isascii()
        assert not set(value) & set(",;.:\"'*`")
        assert not any(month.lower() in value.lower().split() for month in MONTHS)


def test_kinds_are_told_apart_by_their_form():
    assert {len(city) for city in CITIES} == {8}
    assert {university.split()[1] for university in UNIVERSITIES} == {
        "University",
        "College",
        "Academy",
        "Polytechnic",
    }
    assert all(len(employer.split()) == 2 for employer in EMPLOYERS)
    assert not {u.split()[0] for u in UNIVERSITIES} & {e.split()[0] for e in EMPLOYERS}
    assert all(major.islower() for major in MAJORS)


def test_a_person_is_the_digits_of_the_number():
    first = make_person("A", 0)
    assert first[:5] == ("A", "he", 1, 1, 1800)
    last = make_person("B", SPACE - 1)
    assert last[:5] == ("B", "she", 28, 12, 1999)
    assert last[5:9] == (CITIES[-1], UNIVERSITIES[-1], MAJORS[-1], EMPLOYERS[-1])
    for number in draw_numbers(Stream("people test"), 200):
        who = make_person("C", number)
        weight, size = ATTRIBUTE_DIGITS["major"]
        assert MAJORS.index(who.major) == number // weight % size
        weight, size = ATTRIBUTE_DIGITS["date"]
        assert (who.day - 1) + 28 * (who.month - 1) + 336 * (who.year - 1800) == number // weight % size
        assert who.work_city == CITIES[EMPLOYER_CITIES[EMPLOYERS.index(who.employer)]]


def test_every_city_has_an_employer():
    assert sorted(firm for firms in EMPLOYERS_BY_CITY for firm in firms) == list(range(263))
    assert all(firms for firms in EMPLOYERS_BY_CITY)


@pytest.mark.parametrize("field", ["pronoun", "day", "month", "major", "city"])
def test_people_are_uniform(field):
    drawn = [make_person("", number) for number in draw_numbers(Stream("uniform"), 20_000)]
    counts = Counter(getattr(who, field) for who in drawn)
    expected = 20_000 / (2 if field == "pronoun" else SIZES[field])
    assert len(counts) == round(20_000 / expected)
    assert sum((n - expected) ** 2 / expected for n in counts.values()) < 1.6 * len(counts) + 15


def test_names_are_spelt_alike_and_all_different():
    stride = N_NAMES // 20_000
    names = [full_name(number) for number in range(0, N_NAMES, stride)]
    assert len(set(names)) == len(names)
    assert {(len(given), len(family)) for given, family in (name.split() for name in names)} == {(5, 7)}
    assert len(set(full_names(Stream("names"), 500))) == 500


def test_a_population_makes_each_person_alone_and_no_name_twice():
    people = Population("7")
    some = [people.person(index) for index in range(4_000)]
    assert len({who.name for who in some}) == 4_000
    assert len({who.name.split()[1] for who in some}) > 3_900
    assert people.person(123) == Population("7").person(123) == some[123]
    assert Population("8").person(123) != some[123]
    assert people.person(N_NAMES - 1) == people.person(N_NAMES - 1)
    with pytest.raises(IndexError, match="holds people"):
        people.person(N_NAMES)


def test_values_are_shown_alike_for_a_person_and_one_read_from_json():
    who = Person("Ana Test", "she", 4, 5, 1850, "C", "U", "m", "E", "W")
    for row in (who, person_of(json.loads(json.dumps(who._asdict())))):
        assert show_attribute(row, "date") == "4 May 1850"
        assert [show_attribute(row, part) for part in ("day", "month", "year", "name")] == [
            "4",
            "May",
            "1850",
            "Ana Test",
        ]
        assert fits(row, {"date": "4 May 1850", "work_city": "W"})
        assert not fits(row, {"date": "4 May 1850", "city": "W"})


def test_dates_are_compared_and_subtracted_by_the_calendar():
    one = Person("A", "she", 28, 12, 1899, "", "", "", "", "")
    two = Person("B", "he", 1, 1, 1901, "", "", "", "", "")
    assert birth_key(one, "life") < birth_key(two, "life")
    assert birth_key(one, "year") > birth_key(two, "year")
    assert months_apart(one, two) == months_apart(two, one) == 13
