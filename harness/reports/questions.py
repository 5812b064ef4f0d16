"""Questions of stored samples, made again from item ids, and excerpts of long texts."""

from dataclasses import dataclass

from fathom.harness.records import SampleView
from fathom.harness.runs.requests import shown_prompt
from fathom.harness.runs.run_settings import PromptSettings
from fathom.tasks.base import Cell, Instance, check_cell
from fathom.tasks.errors import TaskError
from fathom.tasks.registry import find_family, instance_from_id

MOST_SHOWN = 4000
"""Characters of a question or completion shown in a list."""


@dataclass(frozen=True, slots=True)
class SampleQuestion:
    """The item of a sample, and its prompt as the model was sent it, without demonstrations."""

    item: Instance
    text: str

    @property
    def gold(self) -> str:
        """The right answer."""
        return self.item.gold


_PLAIN = PromptSettings()


def make_sample_question(sample: SampleView, asked: PromptSettings = _PLAIN) -> SampleQuestion | None:
    """Make a sample's question again; None if this version of Fathom no longer makes the item.

    `asked` is how the sample's run was asked, see `prompt_settings_of`.
    """
    try:
        item = instance_from_id(sample.item)
        family = find_family(item.family)
        check_cell(Cell(item.family, item.level, item.channel, sample.style), family)
    except TaskError:
        return None
    return SampleQuestion(item, shown_prompt(item, sample.style, asked))


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A text to display: complete, or its beginning and end with the number of characters cut between."""

    text: str
    n_cut: int
    end: str


def excerpt(text: str, limit: int = MOST_SHOWN) -> Excerpt:
    """Cut out the middle of a long text; three quarters of the rest are its beginning."""
    if len(text) <= limit:
        return Excerpt(text, 0, "")
    tail = limit // 4
    return Excerpt(text[: limit - tail], len(text) - limit, text[-tail:])
