"""Format of lm-eval's logs: the prompt of an item, and names and digests (lm-eval 0.4.13, `--log_samples`)."""

import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

from fathom.harness.errors import BadInput
from fathom.harness.runs.requests import shots_before
from fathom.tasks.base import Cell, Instance, check_cell, demonstrate, pose
from fathom.tasks.errors import TaskError
from fathom.tasks.registry import find_family
from fathom.tasks.suites import make_items

_LONGEST_NAME = 200
"""Bytes of a folder's name; file systems take 255, and files in it have longer names than the folder."""
_SHOT_DELIMITER = "\n\n"
"""Text after each demonstration in a plain prompt."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A question and its answer."""

    question: str
    answer: str


@dataclass(frozen=True, slots=True)
class Pieces:
    """The parts of a prompt."""

    system: str
    shots: tuple[Demonstration, ...]
    question: str

    def texts(self) -> list[str]:
        """Return all parts in reading order."""
        shots = [text for shot in self.shots for text in (shot.question, shot.answer)]
        return [*([self.system] if self.system else []), *shots, self.question]

    def plain(self) -> str:
        """Return the prompt without a chat template."""
        return self.system + self._body()

    def _body(self) -> str:
        return "".join(f"{shot.question}{shot.answer}{_SHOT_DELIMITER}" for shot in self.shots) + self.question

    def messages(self, as_turns: bool) -> list[dict[str, str]]:
        """Return the prompt as messages of a chat; demonstrations are turns of their own, or in the user's message."""
        found = [{"role": "system", "content": self.system}] if self.system else []
        if not as_turns:
            return [*found, {"role": "user", "content": self._body()}]
        for shot in self.shots:
            found.append({"role": "user", "content": shot.question})
            found.append({"role": "assistant", "content": shot.answer.lstrip()})
        return [*found, {"role": "user", "content": self.question}]


def prompt_pieces(cell: Cell, item: Instance, system: str, n_shots: int) -> Pieces:
    """Return the parts of an item's prompt, with the demonstrations that lm-eval takes from our tasks."""
    n = shots_before(cell.style, n_shots)
    shots = _shots(cell, item.seed, n) if n else ()
    return Pieces(system, shots, pose(find_family(item.family), item, cell.style))


@lru_cache(maxsize=4)
def _shots(cell: Cell, seed: str, n: int) -> tuple[Demonstration, ...]:
    family = find_family(cell.family)
    items = make_items(cell, seed, n, "shot")
    return tuple(Demonstration(pose(family, one, cell.style), demonstrate(family, one, cell.style)) for one in items)


def cell_of(task: str) -> Cell:
    """Return the cell of one of our tasks, by the name of the task.

    Raises:
        BadInput: there is no such cell.
    """
    parts = task.split("_")
    if len(parts) != 5 or parts[0] != "fathom":
        raise BadInput(f"{task[:80]!r} is not a task of Fathom: `fathom tasks` lists them")
    cell = Cell(*parts[1:])
    try:
        check_cell(cell, find_family(cell.family))
    except TaskError as error:
        raise BadInput(f"{task[:80]!r} is not a task of this version of Fathom: {error}") from error
    return cell


def sha256_hex(text: str) -> str:
    """Return the SHA-256 of a text in hex, as lm-eval computes it."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def folder_name(model: str) -> str:
    """Return the name of a model's results folder as lm-eval writes it; names of dots alone become `__`.

    A name that no file system takes is cut, with a digest of the whole at its end.
    """
    name = re.sub(r'["<>:/|\\?*\[\]]+', "__", model) if model.strip(".") else "__"
    raw = name.encode(errors="replace")
    if len(raw) <= _LONGEST_NAME:
        return name
    return f"{raw[:_LONGEST_NAME].decode(errors='ignore')}-{sha256(raw).hexdigest()[:8]}"


def as_texts(value: Any) -> Any:  # lists and tuples of anything
    """Convert every leaf of nested lists to text, as lm-eval does with answers, so that a column has one type."""
    return [as_texts(one) for one in value] if isinstance(value, list | tuple) else str(value)
