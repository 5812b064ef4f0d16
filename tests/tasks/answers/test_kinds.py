"""How values of each kind may be written: numbers, dates, pairs, lists, letters, steps, sentences."""

import json
from pathlib import Path

import pytest

from fathom.tasks.answers.compound import Date, NameList, Pair, TokenString
from fathom.tasks.answers.kinds import Choice, Either, Names, YesNo
from fathom.tasks.answers.mistakes import MendedStep, WrongStep
from fathom.tasks.answers.numbers import Integer
from fathom.tasks.answers.reader import read_answer
from fathom.tasks.people.population import MAJORS, UNIVERSITIES
from fathom.tasks.words import CODE_SHAPE, NAME_SHAPE

CASES = json.loads((Path(__file__).parent / "kinds.json").read_text(encoding="utf-8"))
"""Texts by kind, each with an answer, and whether the text commits to it."""

FULL_NAME = "[A-Z][a-z]+ [A-Z][a-z]+"
FITS = r"(?:sentence|generated|valid|grammatical)"
KINDS = {
    "integer": Integer(),
    "code": Names(["QK", "TT", "LM", "RC", "BB", "XW", "VD"], ("QK",), CODE_SHAPE),
    "name": Names(
        ["Letub", "Gofoz", "Varox", "Gekev", "Govov", "Gakof", "Zubig", "Pumil", "Sodar"], ["Gakof"], NAME_SHAPE
    ),
    "fullname": Names(["Tesur Lukusil", "Vadek Forudom"], shape=FULL_NAME, relation="later|after|younger"),
    "date": Either(Date(), (Names.of(MAJORS),)),
    "yesno": YesNo(rf"\bis\b[^.:;]{{0,60}}{FITS}", rf"\b(?:is|can)(?:n't|\s?not| no)\b[^.:;]{{0,60}}{FITS}"),
    "letter": Choice({"A": "j j j p", "B": "j p p t", "C": "p t j p", "D": "j t j p"}),
    "pair": Pair(Either(Names.of(UNIVERSITIES), (Date(),)), Either(Names.of(MAJORS), (Date(),))),
    "list": NameList(["DF", "RG", "VB", "BF", "QL"], CODE_SHAPE),
    "sentence": TokenString("abc"),
    "step": WrongStep(),
    "mend": MendedStep(),
}


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_reads_what_commits_to_a_value_and_nothing_else(name):
    cases = [case for case in CASES if case["kind"] == name]
    assert len(cases) >= 20
    wrong = [
        (case, reading)
        for case in cases
        for reading in [read_answer(case["text"], KINDS[name])]
        if ((reading.value or "").lower() == case["gold"].lower()) != case["right"]
    ]
    assert not wrong


@pytest.mark.parametrize(("text", "value"), [
    ("HJ = 13.\nQX = 4", "13"), ("2. HJ = 2. JH = 9 * SC. SC = 4.", "2"), ("QX = 4\nHJ = QX + 9 = 13", "13"),
    ("Thus **HJ** = 7. And SC = 2.", "7"), ("HJ = 3\nSo the answer is 5", "5"), ("AHJ = 3. SC = 4", "4"),
    ("HJ = 9 * SC. SC = 4.", "4"), ("SC = 4.", "4"), ("HJ = SC\nSC = 4", "4"), ("LS = 1\nHJ = 9\nRP = 6", "9"),
])  # fmt: skip
def test_of_several_equations_the_one_about_what_is_asked_for_counts(text, value):
    assert read_answer(text, Integer(subject="HJ")).value == value


@pytest.mark.parametrize(("text", "value"), [
    ("1. JG = 8\n2. ZT = 5 + JG. BN = 13 + 8 = 21\n3. NF = 8\n4. BN = 13 + 8 = 21", None), ("BN = 13 + 8 = 21", None),
    ("1. JG = 8\n2. BN = 13 + 8 = 21\nStep 2 is wrong.", "2"), ("Step 2: BN = 13 + 8 = 20 is wrong", "2"), ("2", "2"),
])  # fmt: skip
def test_a_step_that_is_written_again_is_no_verdict_on_it(text, value):
    assert read_answer(text, WrongStep()).value == value


@pytest.mark.parametrize(("text", "value"), [
    ("A B B A", "a b b a"), ("Answer: A b b a", "a b b a"), ("A B D", "A B D"), ("a b", "a b"),
])  # fmt: skip
def test_letters_of_a_string_are_read_in_any_case(text, value):
    assert read_answer(text, TokenString("abc")).value == value
