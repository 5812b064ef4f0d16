"""Laws that are trained in a fraction of a second."""

from dataclasses import replace

import pytest

from fathom.harness.training.token_laws.design import Condition, TokenLaw
from fathom.harness.training.token_laws.registry import find_token_law


def _shorten(condition: Condition) -> Condition:
    steps = 4 if condition.recipe.steps < 1000 else 5
    recipe = replace(condition.recipe, steps=steps, people=min(condition.recipe.people, 40), batch=8)
    return replace(condition, recipe=recipe)


@pytest.fixture
def shorten():
    """Return a law with trainings of a few steps, and gates that every model passes."""

    def make(name: str) -> TokenLaw:
        law = find_token_law(name)
        gates = tuple(replace(one, least=-99.0) for one in law.gates)
        return replace(law, conditions=tuple(map(_shorten, law.conditions)), gates=gates)

    return make
