import re
from collections import Counter

import pytest

from fathom.tasks.errors import BadOption
from fathom.tasks.people.closed_book import (
    HINT_SEPARATOR,
    HINTED_KINDS,
    PARTIALS,
    QUESTION_KINDS,
    ClosedBookQuestion,
    Crowd,
    choose_crowd,
    draw_question,
    kinds_of,
    question_document,
    read_decision,
)
from fathom.tasks.people.population import MONTHS, Population, number_of_name
from fathom.tasks.stream import Stream

N = 60
EVERYBODY = {who.name: who for who in map(Population("5").person, range(N))}


def asked(kind, count, *, hint=False, trained=False):
    people = choose_crowd("5", N, trained=trained)
    return [draw_question(kind, people, Stream("quiz", kind, index), hint=hint) for index in range(count)]


def named(question):
    return [EVERYBODY[name] for name in re.findall(r"[A-Z]\w{4} [A-Z]\w{6}", question) if name in EVERYBODY]


def date(who):
    return f"{who.day} {MONTHS[who.month - 1]} {who.year}"


def solve(question):
    """Answer from the words of the question, by looking people up: not the way in which it was made."""
    found = named(question)
    who = found[0] if found else None
    if question.startswith("Who was born earlier"):
        return min(found, key=lambda one: (one.year, one.month, one.day)).name
    if question.startswith("Who was born on"):
        wanted = re.fullmatch(r"Who was born on (.+) in (\w+)\?", question).groups()
        return next(one.name for one in EVERYBODY.values() if (date(one), one.city) == wanted)
    if question.startswith("How many months"):
        one, two = (12 * who.year + who.month for who in found)
        return str(abs(one - two))
    if listed := re.search(r"one of these subjects: (.+)\?", question):
        return "yes" if who.major in listed[1].split(", ") else "no"
    if "even number" in question:
        return ("yes", "no")[who.month % 2]
    if "remainder" in question:
        return str(who.month % 6)
    if pair := re.fullmatch(r"What are the (.+) and the (.+) of \w+ \w+\?", question):
        return "; ".join(value(who, noun) for noun in pair.groups())
    return value(who, next(key for key in sorted(_KEYS, key=len, reverse=True) if key in question))


_KEYS = {
    "On which date": date,
    "In which city was": lambda who: who.city,
    "Where did": lambda who: who.university,
    "Which subject": lambda who: who.major,
    "For which employer": lambda who: who.employer,
    "In which city did": lambda who: who.work_city,
    "In which year": lambda who: str(who.year),
    "In which month": lambda who: MONTHS[who.month - 1],
    "date of birth": date,
    "city of birth": lambda who: who.city,
    "place of study": lambda who: who.university,
    "subject of study": lambda who: who.major,
    "employer": lambda who: who.employer,
    "city of work": lambda who: who.work_city,
}


def value(who, key):
    return _KEYS[key](who)


@pytest.mark.parametrize("hint", [False, True])
@pytest.mark.parametrize("kind", QUESTION_KINDS)
def test_answers_follow_from_the_words_of_the_question(kind, hint):
    for quiz in asked(kind, 60, hint=hint):
        assert quiz.decision == solve(quiz.question)
        assert read_decision(kind, f" {quiz.answer}\nWho", hint=hint) == quiz.decision
        assert quiz.facts["hint"] == (hint and kind in HINTED_KINDS) == (HINT_SEPARATOR in quiz.answer)
        assert "\n" not in quiz.question + quiz.answer


@pytest.mark.parametrize("kind", HINTED_KINDS)
def test_a_hint_states_facts_that_are_in_the_biographies(kind):
    for quiz in asked(kind, 40, hint=True):
        stated = quiz.answer.partition(HINT_SEPARATOR)[0]
        for who in named(quiz.question):
            facts = (date(who), f"{MONTHS[who.month - 1]} {who.year}", f"{MONTHS[who.month - 1]}, month {who.month}")
            assert any(fact in stated for fact in (*facts, who.major))


@pytest.mark.parametrize("kind", QUESTION_KINDS)
def test_text_is_about_one_half_of_the_people_and_the_test_about_the_other(kind):
    halves = [set(list(EVERYBODY)[: N // 2]), set(list(EVERYBODY)[N // 2 :])]
    for trained, half in zip((True, False), halves, strict=True):
        for quiz in asked(kind, 40, trained=trained):
            assert set(quiz.facts["asked"]) <= half


@pytest.mark.parametrize(("kind", "n"), [("classify-even", 2), ("classify-remainder", 6), ("classify-listed", 2)])
def test_every_class_is_asked_equally_often(kind, n):
    counts = Counter(quiz.answer for quiz in asked(kind, 1200))
    assert len(counts) == n
    assert max(counts.values()) < 1200 / n + 4.5 * (1200 / n) ** 0.5


@pytest.mark.parametrize("kind", HINTED_KINDS)
def test_an_answer_with_a_hint_is_read_in_its_own_form_alone(kind):
    quiz = asked(kind, 1, hint=True)[0]
    for text in (
        "",
        quiz.decision,
        f"Answer: {quiz.answer}",
        quiz.answer.replace(HINT_SEPARATOR, " so "),
        HINT_SEPARATOR + quiz.decision,
    ):
        assert read_decision(kind, text, hint=True) is None


def test_groups_of_kinds_are_spelt_out_and_unknown_ones_refused():
    assert kinds_of("partial compare partial-year") == (*PARTIALS, "compare")
    assert kinds_of("extract partial dual classify compare subtract inverse") == QUESTION_KINDS
    for text in ("", "extract colour"):
        with pytest.raises(BadOption, match="extract"):
            kinds_of(text)


@pytest.mark.parametrize("kind", ["classify-even", "classify-remainder", "compare", "subtract"])
def test_a_question_that_fits_nobody_of_a_small_population_is_refused(kind):
    somebody = Population("5").person(0)
    alone = Crowd(lambda _: somebody, 0, 1)
    with pytest.raises(BadOption, match="give a larger population"):
        [draw_question(kind, alone, Stream("alone", index)) for index in range(30)]


def test_a_document_is_the_question_and_the_answer():
    assert question_document(ClosedBookQuestion("Who?", "She", {})) == [("Who?", " She")]


def test_a_name_leads_back_to_its_place_in_the_population():
    people = Population("77")
    for index in (0, 1, 999, 123_456, 40_000_000_000):
        assert people.index_of(people.person(index).name) == index
    for name in ("", "Tilan", "Tilan Xokerud", "Tilan Bokerudd", "tilan bokerud", "Tilanx Bokerud"):
        assert number_of_name(name) is None
        assert people.index_of(name) is None
