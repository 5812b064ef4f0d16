"""Biographies tell every fact of a person once, in the wordings and orders of the recipe."""

from dataclasses import replace

import numpy as np
import pytest

from fathom.harness.training.token_laws import people as text
from fathom.harness.training.token_laws.decoder import TokenRecipe

_RECIPE = TokenRecipe(hidden=16, layers=1, heads=2, steps=1, batch=4, learning_rate=0.01, people=30)


@pytest.fixture
def people():
    return text.draw_people(30, np.random.default_rng(1))


def test_nobody_shares_a_name(people):
    assert len({tuple(one) for one in people.names.tolist()}) == 30


def test_half_of_the_values_are_answered_with_yes(people):
    assert people.even.sum() == text.VALUES // 2


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("any_order", [False, True])
def test_a_biography_tells_each_fact_of_its_person_once(people, full, any_order):
    recipe = TokenRecipe(16, 1, 2, 1, 4, 0.01, people=30, wordings=3, any_order=any_order, full_names=full)
    by_name = {
        tuple(name): set(values) for name, values in zip(people.names.tolist(), people.values.tolist(), strict=True)
    }
    rows = text.biographies(people, recipe, 50, np.random.default_rng(2))
    assert rows.shape == (50, text.CONTEXT)
    for row in rows.tolist():
        assert row[0] == text.START
        told = [one for one in row if text.FIRST_VALUE <= one < text.FIRST_MARKER]
        assert set(told) == by_name[tuple(row[1:3])]
        assert sum(one < text.FIRST_VALUE and one >= 0 for one in row) == (2 * text.ATTRIBUTES if full else 2)
        assert any_order or told == sorted(told)


def test_one_wording_means_that_a_person_has_one_text(people):
    rows = text.biographies(people, _RECIPE, 300, np.random.default_rng(2))
    assert len({tuple(one) for one in rows.tolist()}) <= 30


def test_a_share_of_the_biographies_has_the_name_last(people):
    recipe = replace(_RECIPE, name_last=0.5)
    rows = text.biographies(people, recipe, 400, np.random.default_rng(2))
    names = set(map(tuple, people.names.tolist()))
    first, last = (sum(tuple(one) in names for one in rows[:, at : at + 2].tolist()) for at in (1, 11))
    assert first + last == 400
    assert 150 < last < 250


def test_a_question_for_a_name_tells_all_facts_first(people):
    (row,) = text.name_questions(people, np.array([4])).tolist()
    assert row == [text.START, text.ASK, *people.values[4], *people.names[4]]


def test_questions_end_with_their_answer(people):
    who = np.array([3, 4])
    row = text.questions(people, who, np.array([0, 2]))[1]
    assert row[-1] == people.values[4, 2]
    direct, first = (text.yes_no_questions(people, who, hint)[0].tolist() for hint in (False, True))
    assert direct[-1] == (text.YES if people.even[people.values[3, 0] - text.FIRST_VALUE] else text.NO)
    assert first == [*direct[:4], people.values[3, 0], direct[-1]]
