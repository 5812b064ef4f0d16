"""Say what lm-eval asks of an item, and how it names and digests what it logs (lm-eval 0.4.13, `--log_samples`)."""

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

from fathom.harness.errors import BadInput
from fathom.tasks.base import Cell, Instance, check_cell, demonstrate, pose
from fathom.tasks.errors import TaskError
from fathom.tasks.registry import find_family
from fathom.tasks.suites import make_items

BETWEEN = "\n\n"
"""What stands after each demonstration in a plain prompt."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A question and its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Pieces:
    """What a prompt is made of."""

    system: str
    shots: tuple[Demonstration, ...]
    question: str

    def texts(self) -> list[str]:
        """Return all pieces in the order in which they are read."""
        shots = [text for shot in self.shots for text in (shot.question, shot.answer)]
        return [*([self.system] if self.system else []), *shots, self.question]

    def plain(self) -> str:
        """Write the prompt that is asked without a chat template."""
        return self.system + self._body()

    def _body(self) -> str:
        return "".join(f"{shot.question}{shot.answer}{BETWEEN}" for shot in self.shots) + self.question

    def messages(self, as_turns: bool) -> list[dict[str, str]]:
        """Write the prompt as the messages of a chat; demonstrations as turns of their own, or all in one."""
        found = [{"role": "system", "content": self.system}] if self.system else []
        if not as_turns:
            return [*found, {"role": "user", "content": self._body()}]
        for shot in self.shots:
            found.append({"role": "user", "content": shot.question})
            found.append({"role": "assistant", "content": shot.answer.lstrip()})
        return [*found, {"role": "user", "content": self.question}]


def pieces_of(cell: Cell, item: Instance, system: str, n_shots: int) -> Pieces:
    """Return what an item is asked with; the demonstrations are those that lm-eval takes from our tasks."""
    shots = _shots(cell, item.seed, n_shots) if n_shots else ()
    return Pieces(system, shots, pose(find_family(item.family), item, cell.style))


@lru_cache(maxsize=4)
def _shots(cell: Cell, seed: str, n: int) -> tuple[Demonstration, ...]:
    family = find_family(cell.family)
    items = make_items(cell, seed, n, "shot")
    return tuple(Demonstration(pose(family, one, cell.style), demonstrate(family, one, cell.style)) for one in items)


def cell_of(task: str) -> Cell:
    """Return the cell that one of our tasks asks.

    Raises:
        BadInput: there is no such cell.
    """
    parts = task.split("_")
    if len(parts) != 5 or parts[0] != "fathom":
        raise BadInput(f"{task[:80]!r} is no task of Fathom: `fathom tasks` lists them")
    cell = Cell(*parts[1:])
    try:
        check_cell(cell, find_family(cell.family))
    except TaskError as error:
        raise BadInput(f"{task[:80]!r} is no task of this Fathom: {error}") from error
    return cell


def text_digest(text: str) -> str:
    """Digest a text as lm-eval does."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def folder_name(model: str) -> str:
    """Name the folder of a model's results as lm-eval does; a name of dots alone stays inside."""
    return re.sub(r'["<>:/|\\?*\[\]]+', "__", model) if model.strip(".") else "__"


def as_text(value: Any) -> Any:  # lists and tuples of anything
    """Write all that is in lists as text, as lm-eval does with answers, so that a column has one type."""
    return [as_text(one) for one in value] if isinstance(value, list | tuple) else str(value)
