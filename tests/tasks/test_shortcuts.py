"""No shortcut pays: rules and a classifier on surface features find no more answers than chance says.

Levels of one step, `Level.is_one_step`, are the exception: there the classifier does the whole task.
"""

import os

import pytest

from fathom.harness.reports.audit.measures import MARGIN, audit_cell, is_asked_in_context
from fathom.harness.stats.intervals import wilson
from fathom.tasks.base import Cell, channels_of, grade, make_instance, styles_of
from fathom.tasks.registry import all_families, find_family
from fathom.tasks.stream import Stream
from fathom.tasks.suites import open_suite

ATTACKED = ("direct", "choice")
CELLS = sorted(
    {
        (cell.family, cell.level, cell.channel, cell.style)
        for cell in open_suite("standard", 7).cells
        if cell.style in ATTACKED
    }
)
SHOWN = CELLS if os.environ.get("FATHOM_TEST_FULL") else Stream(
    "shortcuts", os.environ.get("FATHOM_TEST_SEED", "0")
).sample(CELLS, 1)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("cell", SHOWN, ids="-".join)
def test_nothing_beats_the_stated_chance_by_more_than_five_points(cell):
    found = audit_cell(find_family(cell[0]), Cell(*cell), 100)
    attacks = [found.constant, *found.shortcuts, *([found.classifier] if found.classifier else [])]
    told = [f"{one.name} {one.k / one.n:.3f}" for one in attacks]
    print(f"{'/'.join(cell)}: chance {found.chance:.3f}; {'; '.join(told)}")
    assert not found.has_shortcut, (found.chance, told)


def rules():
    """Each named shortcut with a cell in which it may be played, drawn by the seed of the test run."""
    for family in all_families().values():
        levels = [level for level in family.levels.values() if is_asked_in_context(styles_of(family, level))]
        for rule in family.shortcuts:
            fitting = [level for level in levels if set(rule.styles) & set(styles_of(family, level))]
            stream = Stream("rules", os.environ.get("FATHOM_TEST_SEED", "0"), family.name, rule.name)
            level = stream.choice(fitting)
            style = stream.choice([style for style in rule.styles if style in styles_of(family, level)])
            yield pytest.param(family, level, style, rule, id=f"{family.name}-{rule.name}")


@pytest.mark.parametrize(("family", "level", "style", "rule"), list(rules()))
def test_a_named_shortcut_earns_no_more_than_chance_says(family, level, style, rule):
    assert rule.about.endswith(".")
    channel = channels_of(family, level)[0]
    items = [make_instance(family, level.name, channel, 5, at) for at in range(60)]
    said = [rule.answer(item, style) for item in items]
    k = sum(
        one == item.gold if style == "choice" else one is not None and grade(family, item, one).correct
        for item, one in zip(items, said, strict=True)
    )
    assert wilson(k, len(items)).low <= family.chance(level, style) + MARGIN
