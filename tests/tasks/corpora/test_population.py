"""Read the biographies and questions of the corpus bios back."""

import re
from collections import Counter, defaultdict

import pytest

from fathom.tasks.corpora.base import make_block, read_options
from fathom.tasks.corpora.registry import find_corpus
from fathom.tasks.people.biography import CLOSINGS, N_TEXTS, biography
from fathom.tasks.people.population import ATTRIBUTES, Population, show_attribute
from fathom.tasks.people.wordings import person_wordings

N = 20
PEOPLE = [Population("7").person(index) for index in range(N)]
NAMES = [who.name for who in PEOPLE]


def written(blocks=12, **given):
    corpus = find_corpus("bios")
    options = read_options(corpus, {"population": N, **given})
    return [pairs for number in range(blocks) for pairs in make_block(corpus, options, 7, number).documents]


def by_person(documents):
    found = defaultdict(list)
    for ((prompt, text),) in documents:
        assert prompt == ""
        (name,) = {name for name in NAMES if name in text}
        found[name].append(text)
    return found


@pytest.mark.parametrize(("wordings", "permute"), [(1, 0), (5, 0), (5, 1)])
def test_a_person_keeps_as_many_texts_as_asked(wordings, permute):
    found = by_person(written(24, wordings=wordings, permute=permute))
    assert sorted(found) == sorted(NAMES)
    for texts in found.values():
        # A sentence that opens a text names its person; without the names, sentences differ by wording alone.
        kept = {frozenset(_sentences(text)) for text in texts} if not permute else None
        if kept is not None:
            assert len(kept) == wordings
        else:
            assert len(set(texts)) > 0.9 * len(texts)
            values = Counter(sentence for text in texts for sentence in _sentences(text)[1:])
            assert len(values) <= wordings * len(ATTRIBUTES)


def _sentences(text):
    return text.removesuffix(".").split(". ")


def test_every_text_tells_all_attributes_of_its_person():
    found = by_person(written(2, wordings=5, permute=1))
    for who in PEOPLE:
        for text in found[who.name]:
            assert all(show_attribute(who, attribute) in text for attribute in ATTRIBUTES)


def test_people_are_drawn_uniformly():
    counts = Counter({name: len(texts) for name, texts in by_person(written(40)).items()})
    mean = 40 * 64 / N
    assert all(abs(count - mean) < 4.5 * mean**0.5 for count in counts.values())


def test_full_names_stand_in_every_sentence():
    for ((_, text),) in written(1, fullname=1):
        who = next(who for who in PEOPLE if who.name in text)
        assert text.count(who.name) == len(ATTRIBUTES)


def test_a_reversed_biography_names_its_person_last_and_once():
    for ((_, text),) in written(2, reversed=1, permute=1, wordings=3):
        who = next(who for who in PEOPLE if who.name in text)
        *told, last = _sentences(text)
        assert f"{last}." in {closing % who.name for closing in CLOSINGS}
        assert len(told) == len(ATTRIBUTES)
        assert not any(who.name in sentence for sentence in told)
        assert all(any(show_attribute(who, attribute) in sentence for sentence in told) for attribute in ATTRIBUTES)


def test_questions_are_about_the_first_half_alone():
    documents = written(10, qa=0.5, tasks="extract compare inverse")
    asked = [pairs for pairs in documents if pairs[0][0]]
    assert 0.42 < len(asked) / len(documents) < 0.58
    seen = {name for ((question, answer),) in asked for name in NAMES if name in question + answer}
    assert seen == set(NAMES[: N // 2])
    told = {name for ((question, text),) in documents if not question for name in NAMES if name in text}
    assert told == set(NAMES)


def test_answers_to_questions_are_true():
    asked = [pairs[0] for pairs in written(4, qa=1, tasks="extract-city")]
    towns = {who.name: who.city for who in PEOPLE}
    for question, answer in asked:
        name = re.fullmatch(r"In which city was (.*) born\?", question)[1]
        assert answer == f" {towns[name]}"


def test_a_hint_stands_before_the_answer():
    answers = [answer for ((_, answer),) in written(2, qa=1, tasks="classify-even", hint=1)]
    assert all(re.fullmatch(r" [A-Z][a-z]+ \d{4}, so (yes|no)", answer) for answer in answers)


@pytest.mark.parametrize("given", [{}, {"wordings": 4}, {"wordings": 4, "fullname": 1}])
def test_wordings_of_a_person_are_those_of_the_text(given):
    known = {
        biography(who, told, full_name=bool(given.get("fullname")))
        for index, who in enumerate(PEOPLE)
        for told in person_wordings("7", index, given.get("wordings", 1))
    }
    assert known == {text for ((_, text),) in written(20, **given)}
    assert all(0 <= person_wordings("7", index)[0] < N_TEXTS for index in range(N))


def test_populations_of_two_seeds_share_nobody_told_of():
    options = read_options(find_corpus("bios"), {"population": N})
    other = make_block(find_corpus("bios"), options, 8, 0).documents
    assert not any(name in text for ((_, text),) in other for name in NAMES)
