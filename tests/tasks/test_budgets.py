"""Every cell's budget of tokens holds a wordy solution one and a half times, by a tokenizer that splits digits."""

import os

import pytest
from tokenizers import Tokenizer

from fathom.tasks.base import SCORED, channels_of, demonstrate, make_instance, styles_of
from fathom.tasks.registry import all_families
from fathom.tasks.stream import Stream
from tests.tasks.wordy import ROOM, wordy_answer, wordy_solution

TEXTS = {"direct": wordy_answer, "cot": wordy_solution}
KNOWN_SMALL = [("mano", "p23l16", "cot"), ("bios", "inverse-k100", "cot"), ("bios", "count-k100", "cot"),
               ("depo", "n64k16", "cot"), ("depo", "n128k32", "cot"), ("mano", "p23l1", "direct")]  # fmt: skip
"""Cells whose budgets cut right answers once."""


def cells():
    """Yield family, level and style of all cells that generate text, the drawn ones first."""
    every = [
        (family.name, level.name, style)
        for family in all_families().values() for level in family.levels.values()
        for style in styles_of(family, level) if style not in SCORED
    ]  # fmt: skip
    drawn = Stream(os.environ["FATHOM_TEST_SEED"], "budgets").sample(every, 40)
    chosen = {*drawn, *KNOWN_SMALL}
    return [pytest.param(*cell, marks=[] if cell in chosen else [pytest.mark.full]) for cell in every]


@pytest.fixture(scope="module")
def count(smol):
    tokenizer = Tokenizer.from_file(str(smol / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize(("family", "level", "style"), cells())
def test_a_budget_holds_a_wordy_solution_and_half_as_much_again(count, family, level, style):
    found = all_families()[family]
    rung = found.levels[level]
    items = [make_instance(found, level, one, 11, at) for one in channels_of(found, rung) for at in range(2)]
    write = TEXTS.get(style, lambda item: demonstrate(found, item, style))
    assert found.budget(rung, style) >= ROOM * max(count(write(item)) for item in items)


def test_a_wordy_solution_says_more_than_the_shortest(count):
    depo = all_families()["depo"]
    item = make_instance(depo, "n64k16", "symbol", 11, 0)
    assert count(wordy_solution(item)) > 5 * count(demonstrate(depo, item, "cot"))
    assert wordy_solution(item).endswith(f"Answer: {item.gold}")
