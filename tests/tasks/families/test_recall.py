from collections import Counter

import pytest

from fathom.tasks.base import grade, make_instance
from fathom.tasks.families.recall import FAMILY, KINDS_BY_LEVEL
from fathom.tasks.people.closed_book import HINT_SEPARATOR, HINTED_KINDS
from fathom.tasks.people.population import POPULATIONS, Population, show_attribute
from fathom.tasks.stream import Stream


def made(level, count, seed=3, role="eval"):
    return [make_instance(FAMILY, level, "story", seed, index, role=role) for index in range(count)]


def test_every_kind_is_asked_about_every_number_of_people_and_with_a_hint_where_it_can_have_one():
    n_hinted = sum(kinds[0] in HINTED_KINDS for kinds in KINDS_BY_LEVEL.values())
    assert len(FAMILY.levels) == (len(KINDS_BY_LEVEL) + n_hinted) * len(POPULATIONS) == 90


@pytest.mark.parametrize("level", ["extract-300", "compare-1000", "inverse-300", "listed-hint-300"])
def test_people_asked_about_are_of_the_second_half_and_those_of_demonstrations_of_the_first(level):
    n, people = FAMILY.levels[level].axes["people"], Population("3")
    for role, half in (("eval", range(n // 2, n)), ("shot", range(n // 2))):
        for item in made(level, 60, role=role):
            assert all(people.index_of(name) in half for name in item.facts["asked"])


def test_a_lesson_is_about_the_half_that_is_not_asked_about():
    known = [Population("3").person(index).name for index in range(150)]
    for index in range(60):
        stream = Stream("lesson", index, seed="3")
        ((prompt, _),) = FAMILY.lesson(FAMILY.levels["extract-300"], "story", "trained", stream)
        assert any(name in prompt for name in known)


@pytest.mark.parametrize(
    ("level", "answer", "label"),
    [
        ("parity-300", "maybe", "not_in_domain"),
        ("remainder-300", "6", "not_in_domain"),
        ("compare-300", "Tilan Bokerud", "not_in_domain"),
        ("inverse-300", "Tilan Bokerud", "not_in_domain"),
        ("subtract-300", "99999", "not_in_domain"),
        ("extract-300", "", "no_answer"),
        ("extract-300", "\nGavik", "not_in_domain"),
        ("parity-hint-300", "yes", "no_answer"),
        ("dual-300", "Gavik", "not_in_domain"),
    ],
)
def test_answers_of_another_form_are_told_apart(level, answer, label):
    for item in made(level, 3):
        verdict = grade(FAMILY, item, answer)
        assert (verdict.correct, verdict.label) == (False, label)


def test_the_first_line_is_read_and_capitals_do_not_matter():
    for item in made("extract-300", 20):
        assert grade(FAMILY, item, f" {item.gold.upper()}\nIn which city was").correct
        assert not grade(FAMILY, item, f"Answer: {item.gold}").correct


def test_other_facts_of_the_same_person_and_dates_with_one_part_wrong_are_told():
    labels = Counter()
    for item in made("extract-300", 60):
        who = Population("3").person(Population("3").index_of(item.facts["asked"][0]))
        asked = item.facts["attributes"][0]
        labels[grade(FAMILY, item, who.major if asked != "major" else who.city).label] += 1
        if asked == "date":
            assert grade(FAMILY, item, f"{who.day % 28 + 1}{item.gold[len(str(who.day)) :]}").label == "near_value"
    assert labels == {"other_attribute": 60}


def test_whoever_fits_a_search_is_right_and_others_of_the_population_are_told_from_strangers():
    item = made("inverse-300", 1)[0]
    someone, outside = Population("3").person(7).name, Population("3").person(300).name
    assert grade(FAMILY, item, someone).label == "other_person"
    assert grade(FAMILY, item, outside).label == "not_in_domain"
    who = Population("3").person(7)
    item.facts["wanted"].update(date=show_attribute(who, "date"), city=who.city)
    assert grade(FAMILY, item, someone).correct
    assert grade(FAMILY, item, someone.upper()).correct


def test_a_right_answer_after_wrong_facts_is_right_and_said_to_rest_on_wrong_facts():
    for item in made("parity-hint-300", 20):
        stated, _, answer = item.gold.rpartition(HINT_SEPARATOR)
        assert grade(FAMILY, item, item.gold).note == ""
        verdict = grade(FAMILY, item, f"{stated[:-4]}1799{HINT_SEPARATOR}{answer}")
        assert (verdict.correct, verdict.note) == (True, "states wrong facts")
        wrong = "no" if answer == "yes" else "yes"
        assert grade(FAMILY, item, f"{stated}{HINT_SEPARATOR}{wrong}").label == "wrong"


def test_chance_of_two_attributes_is_that_of_the_likeliest_pair():
    shares = [1 / 67_200, 1 / 200, 1 / 300, 1 / 100, 1 / 263, 2 / 263]
    pairs = [a * b for at, a in enumerate(shares) for b in shares[at + 1 :]]
    pairs[-1] = 1 / 263  # the employer gives the city of work away
    assert FAMILY.chance(FAMILY.levels["dual-300"], "trained") == pytest.approx(sum(pairs) / 15)
    assert FAMILY.chance(FAMILY.levels["extract-300"], "trained") == pytest.approx(
        (1 / 67_200 + 1 / 200 + 1 / 300 + 1 / 100 + 3 / 263) / 6
    )
