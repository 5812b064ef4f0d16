"""Recipes of laws: sound, equal to those that earlier trainings used, and different in the law's own keys only."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fathom.harness.errors import BadRecipe, UnknownLaw
from fathom.harness.training.laws.base import SCALES, Law, Scale
from fathom.harness.training.laws.experiment import recipe_digest
from fathom.harness.training.laws.recipes import read_law_recipe
from fathom.harness.training.laws.registry import all_laws, find_law
from fathom.tasks.base import Cell, check_cell, level_of
from fathom.tasks.registry import find_family

_EACH = [(law, scale) for law in all_laws().values() for scale in SCALES]
_IDS = [f"{law.name}-{scale}" for law, scale in _EACH]

_DIGESTS = {
    "law-augmentation-single-text": "9bc2baf4bd4806c6", "law-augmentation-augmented-text": "7509f3c9778e38fe",
    "law-augmentation-single-gpu": "416fad9934681c74", "law-augmentation-augmented-gpu": "f3ee1cef67a71ded",
    "law-capacity-small-text": "bc4aa36f507df5ff", "law-capacity-large-text": "47b3f0ce27e7527a",
    "law-capacity-small-gpu": "f845fc83b42b49f5", "law-capacity-large-gpu": "21c5fa288434c319",
    "law-parity-direct-text": "752423e6676c467f", "law-parity-hinted-text": "03f4bb774d048bb3",
    "law-parity-direct-gpu": "82fc7591a9314aef", "law-parity-hinted-gpu": "165002e3b81ecca7",
    "law-positions-absolute-text": "15002c74eb3032d5", "law-positions-rotary-text": "9422f37581e190b6",
    "law-positions-absolute-gpu": "d106ef3eb1360260", "law-positions-rotary-gpu": "df63bc5fbc4de390",
    "law-reversal-forward-text": "87c8eaf12d2c5e00", "law-reversal-reversed-text": "2799872630b66145",
    "law-reversal-forward-gpu": "987f48e23e9b1de7", "law-reversal-reversed-gpu": "c789c6ed0bf52256",
}  # fmt: skip
"""Of the recipes when each was a file of its own: a training that was begun with one of them can be resumed."""


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, object]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else None
    if inner is None:
        yield path, value
        return
    for key, one in inner:
        yield from _flat(one, f"{path}.{key}" if path else str(key))


def _values(law: Law, condition: str, scale: Scale) -> dict[str, object]:
    return dict(_flat(law.recipe(condition, scale).model_dump()))


def test_every_value_of_every_recipe_is_that_of_earlier_trainings() -> None:
    recipes = [law.recipe(one.name, scale) for law, scale in _EACH for one in law.conditions]
    assert {one.name: recipe_digest(one) for one in recipes} == _DIGESTS


@pytest.mark.parametrize(("law", "scale"), _EACH, ids=_IDS)
def test_recipes_of_a_law_differ_in_the_stated_keys_only(law: Law, scale: Scale) -> None:
    first, *others = [_values(law, one.name, scale) for one in law.conditions]
    for other in others:
        differing = {key for key in first.keys() | other.keys() if first.get(key) != other.get(key)}
        assert differing - {"name"} <= set(law.differs)
        assert differing >= {"name", law.differs[0]}
    for condition in law.conditions:
        assert law.recipe(condition.name, scale).name == f"law-{law.name}-{condition.name}-{scale}"


@pytest.mark.parametrize("law", all_laws().values(), ids=all_laws())
def test_overrides_are_those_of_known_scales_and_conditions(law: Law) -> None:
    document = tomllib.loads((law.folder / f"{law.name}.toml").read_text(encoding="utf-8"))
    assert set(document["scales"]) <= set(SCALES)
    assert set(document["conditions"]) <= {one.name for one in law.conditions}
    for scale in document["scales"].values():
        assert set(scale.get("conditions", {})) <= set(document["conditions"])


@pytest.mark.parametrize(
    ("tables", "fault"),
    [
        ("[conditions.two]\ncorpus.1.weight = 2", r"corpus\.1: the list has the entries 0 to 0"),
        ("[conditions.two]\nshape.hiden = 32", r"shape\.hiden: no such key"),
        ("[conditions.two]\nsteps = 0", "steps is 0"),
        ("[scales.text]\nconditions.two.steps = 0", "steps is 0"),
        ("conditions = 3", "conditions"),
        ("steps = 7", "TOML|overwrite"),
    ],
)
def test_an_override_that_does_not_fit_is_refused_with_its_key(
    tiny: Law, tmp_path: Path, tables: str, fault: str
) -> None:
    base = (tiny.folder / "tiny.toml").read_text(encoding="utf-8").partition("[conditions.")[0]
    path = tmp_path / "law.toml"
    path.write_text(f"{tables}\n{base}" if "[" not in tables else f"{base}\n{tables}\n", encoding="utf-8")
    with pytest.raises(BadRecipe, match=fault):
        read_law_recipe(path, "two", "text")


def test_an_override_of_a_scale_may_change_that_of_a_condition() -> None:
    hidden = [find_law("capacity").recipe("large", scale).shape.hidden for scale in SCALES]
    assert hidden == [48, 128]


@pytest.mark.parametrize(("law", "scale"), _EACH, ids=_IDS)
def test_questions_are_cells_about_the_people_of_the_recipe(law: Law, scale: Scale) -> None:
    for condition in law.conditions:
        values = _values(law, condition.name, scale)
        for one in law.questions_for(condition.name, scale):
            family = find_family(one.family)
            check_cell(Cell(one.family, one.level, one.channel, one.style), family)
            people = level_of(family, one.level).axes.get("people")
            if people is not None:
                assert {value for key, value in values.items() if key.endswith("population")} == {people}


def test_an_unknown_law_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownLaw, match="augmentation, capacity, parity, positions, reversal"):
        find_law("gravity")
