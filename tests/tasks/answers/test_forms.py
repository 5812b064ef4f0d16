"""Texts that commit to an answer are read in every family, and texts that do not are never right.

`right_forms.json` and `wrong_forms.json` of harness/reports/audit hold texts as models of many families end them: {g} stands for the right answer and {w}
for a wrong one. `but_not` names families where a text means something else.
"""

import os
from functools import cache

import pytest

from fathom.harness.reports.audit.measures import read_forms
from fathom.tasks.base import grade, make_instance
from fathom.tasks.registry import find_family
from fathom.tasks.stream import Stream

RIGHT, WRONG = read_forms("right"), read_forms("wrong")
CELLS = (
    ("depo", "n8k2", "symbol"), ("depo", "n16k4", "story"), ("brevo", "needs8", "symbol"), ("brevo", "needs6", "story"),
    ("mano", "p23l2", "symbol"), ("mano", "p23l4", "story"), ("igsm", "op4", "symbol"), ("igsm", "op4", "story"),
    ("bios", "extract-k5", "story"), ("bios", "partial-k5", "symbol"), ("bios", "dual-k5", "story"),
    ("bios", "classify-k5", "symbol"), ("bios", "compare-k5", "story"), ("bios", "subtract-k5", "symbol"),
    ("bios", "inverse-k5", "story"), ("bios", "count-k5", "symbol"), ("repair", "find-op4", "story"),
    ("repair", "mend-op4", "symbol"), ("years", "y4k2", "symbol"), ("years", "y8k2", "story"),
    ("lano", "recognise-d2", "symbol"), ("lano", "choose-d2", "symbol"), ("lano", "complete-d2", "symbol"),
    ("lano", "write-d2", "story"), ("lano", "samples-d2", "story"),
)  # fmt: skip
SAMPLED = Stream("forms", os.environ.get("FATHOM_TEST_SEED", "0")).sample(CELLS, 4)
every_cell = pytest.mark.parametrize(
    "cell",
    [pytest.param(cell, id="-".join(cell), marks=[] if cell in SAMPLED else [pytest.mark.full]) for cell in CELLS],
)


@cache
def items(cell):
    return [make_instance(find_family(cell[0]), *cell[1:], 77, index) for index in range(3)]


@cache
def a_wrong_answer(cell, index):
    """Return an answer of the item's kind that is not right: a candidate, or the answer to another item."""
    item, family = items(cell)[index], find_family(cell[0])
    others = (make_instance(family, *cell[1:], 78, at).gold for at in range(100))
    return next(text for text in (*item.choices, *others) if not grade(family, item, text).correct)


def missed(cell, forms, is_right):
    """Return the names of forms, and the items, whose verdict is not what it should be."""
    family = find_family(cell[0])
    return [
        (form["name"], item.id, verdict)
        for form in forms
        if family.name not in form.get("but_not", ())
        for at, item in enumerate(items(cell))
        for text in [form["text"].replace("{g}", item.gold).replace("{w}", a_wrong_answer(cell, at))]
        if (verdict := grade(family, item, text)).correct != is_right
    ]


@every_cell
def test_what_commits_to_the_right_answer_is_right(cell):
    assert not missed(cell, RIGHT, is_right=True)


@every_cell
def test_what_commits_to_another_answer_or_to_none_is_wrong(cell):
    assert not missed(cell, WRONG, is_right=False)
