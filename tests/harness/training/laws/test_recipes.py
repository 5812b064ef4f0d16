"""Every law has sound recipes, which differ in nothing but what the law holds against each other."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from fathom.harness.errors import UnknownLaw
from fathom.harness.training.laws.base import SCALES, Law, Scale
from fathom.harness.training.laws.registry import all_laws, find_law
from fathom.harness.training.recipe import read_recipe
from fathom.tasks.base import Cell, check_cell, level_of
from fathom.tasks.registry import find_family

_EACH = [(law, scale) for law in all_laws().values() for scale in SCALES]
_IDS = [f"{law.name}-{scale}" for law, scale in _EACH]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, object]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if inner is None:
        yield path, value
        return
    for key, one in inner:
        yield from _flat(one, f"{path}.{key}" if path else str(key))


def _said(law: Law, condition: str, scale: Scale) -> dict[str, object]:
    return dict(_flat(tomllib.loads(law.recipe(condition, scale).read_text(encoding="utf-8"))))


@pytest.mark.parametrize(("law", "scale"), _EACH, ids=_IDS)
def test_recipes_are_sound_and_differ_in_the_stated_keys_alone(law: Law, scale: Scale) -> None:
    first, *others = [_said(law, one.name, scale) for one in law.conditions]
    for other in others:
        differing = {key for key in first.keys() | other.keys() if first.get(key) != other.get(key)}
        assert differing - {"name"} <= set(law.differs)
        assert differing >= {"name", law.differs[0]}
    for condition in law.conditions:
        recipe = read_recipe(str(law.recipe(condition.name, scale)))
        assert recipe.name == f"law-{law.name}-{condition.name}-{scale}"


@pytest.mark.parametrize(("law", "scale"), _EACH, ids=_IDS)
def test_questions_are_cells_about_the_people_of_the_recipe(law: Law, scale: Scale) -> None:
    for condition in law.conditions:
        said = _said(law, condition.name, scale)
        for one in law.asked(scale, condition.name):
            family = find_family(one.family)
            check_cell(Cell(one.family, one.level, one.channel, one.style), family)
            people = level_of(family, one.level).axes.get("people")
            if people is not None:
                assert {value for key, value in said.items() if key.endswith("population")} == {people}


def test_an_unknown_law_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownLaw, match="augmentation, capacity, parity, positions, reversal"):
        find_law("gravity")
