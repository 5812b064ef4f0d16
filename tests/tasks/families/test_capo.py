from math import log2

import pytest

from fathom.tasks.base import grade, grade_likelihood, make_instance
from fathom.tasks.corpora.base import make_block, read_options
from fathom.tasks.corpora.bios import CORPUS
from fathom.tasks.families.capo import DOMAINS, FAMILY
from fathom.tasks.people.biography import biography
from fathom.tasks.people.population import ATTRIBUTES, CAPACITY_BITS, Population, show_attribute
from fathom.tasks.people.wordings import PRONOUN, cut_at, fit_wordings, person_wordings


def test_independent_facts_hold_the_published_bits_a_person_and_one_for_the_pronoun():
    bits = {attribute: log2(size) for attribute, size in DOMAINS.items()}
    assert bits.pop(PRONOUN) == 1
    assert sum(bits.values()) == pytest.approx(CAPACITY_BITS)
    assert round(CAPACITY_BITS, 2) == 46.59


@pytest.mark.parametrize("attribute", DOMAINS)
def test_a_question_is_the_biography_up_to_the_fact_and_names_the_person_before(attribute):
    for index in range(200):
        who, told = Population("9").person(index), person_wordings("9", index)[0]
        before, value = cut_at(who, told, attribute)
        text = biography(who, told)
        assert text.startswith(f"{before} {value}")
        assert who.name in before
        if attribute != PRONOUN:
            assert value == show_attribute(who, attribute)
            assert value not in before
        else:
            assert value.lower() in ("he", "him", "his", "she", "her")
            assert not {"he", "him", "his", "she", "her"} & set(before.lower().split())


def test_a_persons_wordings_are_their_own_and_stay():
    assert person_wordings("9", 4) == person_wordings(9, 4) != person_wordings("9", 5)
    assert person_wordings("9", 4, 3)[0] == person_wordings("9", 4)[0]
    assert len(set(person_wordings("9", 4, 50))) == 50
    assert person_wordings("8", 4) != person_wordings("9", 4)
    assert all(len(fit_wordings(attribute)) >= 30 for attribute in ATTRIBUTES)


def test_items_ask_for_every_fact_of_anybody_of_the_population():
    items = [make_instance(FAMILY, "people-300", "story", 6, index) for index in range(600)]
    assert {item.facts["attribute"] for item in items} == set(DOMAINS)
    people = {item.facts["person"] for item in items}
    assert min(people) < 30
    assert 270 < max(people) < 300
    for item in items[:50]:
        who = Population("6").person(item.facts["person"])
        assert item.question.startswith(cut_at(who, person_wordings("6", item.facts["person"])[0], "date").before[:8])


def test_half_of_the_probability_is_not_enough_and_more_is():
    item = make_instance(FAMILY, "people-300", "story", 6, 0)
    assert not grade_likelihood(item, -0.7).correct
    assert grade_likelihood(item, -0.69).correct


def test_the_corpus_tells_people_in_the_words_in_which_they_are_asked_for():
    options = read_options(CORPUS, {"population": 40})
    told = {pairs[0][1] for number in range(8) for pairs in make_block(CORPUS, options, 6, number).documents}
    assert len(told) == 40
    for index in range(300):
        item = make_instance(FAMILY, "people-300", "story", 6, index)
        assert item.facts["person"] >= 40 or any(text.startswith(f"{item.question} {item.gold}") for text in told)


def test_a_text_is_compared_with_the_truth():
    for index in range(60):
        item = make_instance(FAMILY, "people-300", "story", 6, index)
        assert grade(FAMILY, item, f" {item.gold}").correct
        assert grade(FAMILY, item, "Nowhere").label == "not_in_domain"
        stranger = Population("1").person(index)._replace(pronoun="it")
        value = "his" if item.facts["attribute"] == PRONOUN else show_attribute(stranger, item.facts["attribute"])
        assert grade(FAMILY, item, value).label in ("wrong", "correct")
        assert grade(FAMILY, item, "").label == "no_answer"
