"""A registration covers all that decides a verdict, and what is changed later cannot confirm."""

import datetime as dt
from dataclasses import replace

import pytest

from fathom.harness.engines.decoder_shape import PLAIN
from fathom.harness.errors import BadInput, BadRecipe
from fathom.harness.training.token_laws.design import CONFIRMING_SEEDS, PILOT_SEEDS, in_shape
from fathom.harness.training.token_laws.experiment import store_registration
from fathom.harness.training.token_laws.registration import register
from fathom.harness.training.token_laws.registry import all_token_laws, find_token_law

_WHEN = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)


def _longer(law):
    one, *others = law.conditions
    return replace(law, conditions=(replace(one, recipe=replace(one.recipe, steps=one.recipe.steps + 1)), *others))


def test_pilot_and_confirming_seeds_have_none_in_common():
    assert not set(PILOT_SEEDS) & set(CONFIRMING_SEEDS)


@pytest.mark.parametrize(
    "change",
    [
        _longer,
        lambda law: replace(law, rule=replace(law.rule, margin=0.2)),
        lambda law: replace(law, rule_text="Shown if it pleases."),
        lambda law: replace(law, gates=()),
        lambda law: replace(law, train=find_token_law("positions").train),
    ],
)
def test_each_part_changes_the_digest(change):
    law = find_token_law("augmentation")
    assert register(change(law), "confirming", 5).digest != register(law, "confirming", 5).digest


def test_another_shape_is_another_registration_and_the_plain_one_is_the_laws_own():
    law = find_token_law("capacity")
    own, plain, canon = (
        register(one, "confirming", 5, shape)
        for one, shape in ((law, PLAIN), (in_shape(law, PLAIN), PLAIN), (in_shape(law, "canon"), "canon"))
    )
    assert own.digest == plain.digest != canon.digest
    assert own.recipes != canon.recipes


def test_more_seeds_are_another_registration():
    law = find_token_law("capacity")
    five, ten = register(law, "confirming", 5), register(law, "confirming", 10)
    assert ten.seeds[:5] == five.seeds
    assert ten.digest != five.digest


@pytest.mark.parametrize(
    ("kind", "n"), [("confirming", 4), ("confirming", 201), ("exploratory", 1), ("exploratory", 10)]
)
def test_a_number_of_seeds_that_says_nothing_is_refused(kind, n):
    with pytest.raises(BadInput, match="seeds"):
        register(find_token_law("capacity"), kind, n)


def test_a_changed_recipe_is_refused_where_another_was_registered(tmp_path):
    law = find_token_law("capacity")
    registration = register(law, "confirming", 5)
    first = store_registration(registration, tmp_path, _WHEN)
    assert store_registration(registration, tmp_path, _WHEN + dt.timedelta(days=1)) == first
    with pytest.raises(BadRecipe, match=r"recipe of small.*--exploratory"):
        store_registration(register(_longer(law), "confirming", 5), tmp_path, _WHEN)


@pytest.mark.parametrize("law", all_token_laws().values(), ids=lambda law: law.name)
def test_a_law_names_only_conditions_that_it_has(law):
    names = [one.name for one in law.conditions]
    assert {law.rule.ahead, law.rule.behind} <= set(names)
    assert all(set(gate.conditions) <= set(names) for gate in law.gates)
    assert all(one.after in ("", *names[:at]) for at, one in enumerate(law.conditions))
