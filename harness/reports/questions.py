"""Turn stored samples back into the questions that were asked."""

from dataclasses import dataclass

from fathom.harness.records import SampleView
from fathom.tasks.base import Cell, Instance, check_cell, pose
from fathom.tasks.errors import TaskError
from fathom.tasks.registry import find_family, instance_from_id

SHOWN = 4000
"""Characters of a question or a completion that a list shows."""


@dataclass(frozen=True, slots=True)
class Question:
    """A sample's question, made again."""

    item: Instance
    text: str

    @property
    def gold(self) -> str:
        """The right answer."""
        return self.item.gold


def make_question(sample: SampleView) -> Question | None:
    """Make a sample's question again; None where this code no longer makes such items."""
    try:
        item = instance_from_id(sample.item)
        family = find_family(item.family)
        check_cell(Cell(item.family, item.level, item.channel, sample.style), family)
    except TaskError:
        return None
    return Question(item, pose(family, item, sample.style))


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A text with what a page shows of it: all, or its beginning and its end, and how much lies between."""

    text: str
    n_cut: int
    end: str


def excerpt(text: str, limit: int = SHOWN) -> Excerpt:
    """Cut the middle out of a long text; three quarters of what is left are its beginning."""
    if len(text) <= limit:
        return Excerpt(text, 0, "")
    tail = limit // 4
    return Excerpt(text[: limit - tail], len(text) - limit, text[-tail:])
