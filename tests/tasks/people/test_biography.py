import re
from string import Formatter

import pytest

from fathom.tasks.people.biography import N_TEXTS, N_WORDINGS, ORDERS, WORDINGS, biography, show_people, write_record
from fathom.tasks.people.population import (
    ATTRIBUTES,
    CITIES,
    EMPLOYERS,
    MAJORS,
    MONTHS,
    UNIVERSITIES,
    Population,
    show_attribute,
)
from fathom.tasks.stream import Stream

SLOTS = ("Who", "who", "Whose", "whose", "whom")
EVERY = [(attribute, wording) for attribute in ATTRIBUTES for wording in WORDINGS[attribute]]
PEOPLE = [Population("3").person(index) for index in range(300)]


def slots(wording):
    return [field for _, field, _, _ in Formatter().parse(wording) if field is not None]


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_every_attribute_has_forty_different_sentences(attribute):
    assert len(WORDINGS[attribute]) == len(set(WORDINGS[attribute])) == N_WORDINGS >= 40


def test_sentences_of_all_attributes_differ():
    assert len({wording for _, wording in EVERY}) == N_WORDINGS * len(ATTRIBUTES)


@pytest.mark.parametrize(("attribute", "wording"), EVERY)
def test_a_sentence_holds_its_value_once_and_its_person_at_least_once(attribute, wording):
    fields = slots(wording)
    assert fields.count("") == 1
    assert set(fields) <= {"", *SLOTS}
    assert len(fields) >= 2
    assert wording.count("{Who") == (wording.startswith("{Who"))
    assert re.fullmatch(r"[A-Z{][^.!?;:]*\.", wording)


def test_no_sentence_mentions_a_value_by_itself():
    values = {value.lower() for domain in (CITIES, EMPLOYERS, MAJORS, MONTHS, UNIVERSITIES) for value in domain}
    for _, wording in EVERY:
        plain = re.sub(r"\{\w*\}", "", wording).lower()
        assert not values & set(re.findall(r"[a-z]+", plain))
        assert not re.search(r"\d", plain)


@pytest.mark.parametrize("attribute", ["major"])
def test_a_lower_case_value_never_opens_a_sentence(attribute):
    assert not [wording for wording in WORDINGS[attribute] if wording.startswith("{}")]


def test_a_biography_names_its_person_first_and_once_and_every_value():
    for at, who in enumerate(PEOPLE):
        text = biography(who, N_TEXTS * at // len(PEOPLE), at % len(ORDERS))
        first, *later = text.removesuffix(".").split(". ")
        assert len(later) == 5
        assert who.name in first
        assert text.count(who.name) == 1
        for attribute in ATTRIBUTES:
            assert text.count(show_attribute(who, attribute)) == 1 + (who.city == who.work_city and "city" in attribute)
        pronoun = r"\b([Ss]he|[Hh]er)\b" if who.pronoun == "she" else r"\b([Hh]e|[Hh]is|[Hh]im)\b"
        other = r"\b([Ss]he|[Hh]er)\b" if who.pronoun == "he" else r"\b([Hh]e|[Hh]is|[Hh]im)\b"
        assert all(re.search(pronoun, sentence) for sentence in later)
        assert not re.search(other, text)
        assert not set("{}%\0") & set(text)


def test_wordings_stay_with_their_attribute_in_any_order():
    who = PEOPLE[0]
    standard = biography(who, 123_456_789, full_name=True)
    assert biography(who, 123_456_789) != standard
    assert standard.count(who.name) == 6
    for order in (1, 200, 719):
        assert sorted(biography(who, 123_456_789, order, full_name=True).split(". ")) != standard.split(". ")
        permuted = biography(who, 123_456_789, order, full_name=True).removesuffix(".").split(". ")
        assert set(permuted) == set(standard.removesuffix(".").split(". "))
    assert len({biography(who, wording) for wording in range(N_WORDINGS)}) == N_WORDINGS


def test_a_name_takes_the_first_place_and_a_pronoun_the_rest():
    who = PEOPLE[0]._replace(name="Ana Test", pronoun="she", day=3, month=4, year=1900)
    texts = {biography(who, at).partition(". ")[0] for at in range(N_WORDINGS)}
    assert "Ana Test drew her first breath on 3 April 1900" in texts
    assert "Ana Test's mother gave birth to her on 3 April 1900" in texts
    assert "The birth date entered for Ana Test is 3 April 1900" in texts
    assert "3 April 1900 is known as the date of Ana Test's birth" in texts


def test_a_record_tells_the_same_in_one_order():
    who = PEOPLE[5]._replace(name="QK")
    assert write_record(who) == (
        f"QK: born {show_attribute(who, 'date')} in {who.city}; studied {who.major} at {who.university}; "
        f"worked for {who.employer} in {who.work_city}."
    )


def test_people_are_shown_one_a_line_in_random_wordings():
    texts = [show_people(PEOPLE[:20], "story", Stream("show", at)) for at in range(2)]
    assert texts[0] != texts[1]
    assert all(len(text.split("\n")) == 21 for text in texts)
    assert show_people(PEOPLE[:1], "symbol", Stream("show")).startswith("The line below is the record of one person")
