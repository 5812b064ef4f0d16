"""Families as endless, seeded environments for training: questions, rewards, and a difficulty that can be set.

The interface is that of reasoning-gym's data sets: `len`, `environment[index]`, `score_answer(answer, entry)`. Items
come from the role `train`, so no stream of an evaluation, a demonstration, an audit or a probe is ever trained on.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fathom.tasks.base import (
    PARAMETRIC,
    SCORED,
    Cell,
    Level,
    Role,
    channels_of,
    check_cell,
    grade,
    level_of,
    make_instance,
    pose,
    styles_of,
)
from fathom.tasks.errors import BadItemId, UnknownLevel, UnknownStyle
from fathom.tasks.registry import find_family, instance_from_id
from fathom.tasks.stream import canonical_seed

_ROLE: Role = "train"

Entry = Mapping[str, Any]
"""question: the prompt; answer: the gold; metadata: JSON values that name the item, its style and its difficulty."""


class Environment:
    """One family at one level, in one channel and style; `level` and `difficulty` may change at any time."""

    def __init__(self, cell: Cell, seed: int | str = 0, size: int = 500) -> None:
        """Check the cell.

        Raises:
            UnknownFamily, UnknownLevel, UnknownStyle, BadSeed: the family has no such cell, or no such seed.
        """
        self._family, self.seed, self.size = find_family(cell.family), canonical_seed(seed), size
        check_cell(cell, self._family)
        if cell.style in (*SCORED, *PARAMETRIC):
            raise UnknownStyle(f"the style {cell.style} writes no answer to a question: give direct or cot")
        self._cell = cell

    @property
    def category(self) -> str:
        """The part of intelligence that the family measures."""
        return self._family.part

    @property
    def levels(self) -> tuple[str, ...]:
        """Levels of the ladder that have this channel and style, from the easiest on."""
        ladder = level_of(self._family, self.level).ladder
        found = [
            level
            for level in self._family.levels.values()
            if level.ladder == ladder
            and self._cell.channel in channels_of(self._family, level)
            and self._cell.style in styles_of(self._family, level)
        ]
        return tuple(level.name for level in sorted(found, key=lambda level: level.hardness))

    @property
    def level(self) -> str:
        """Level of the next entries; earlier ones keep theirs and are scored by it. Set it to any of the family."""
        return self._cell.level

    @level.setter
    def level(self, name: str) -> None:
        cell = Cell(self._cell.family, name, self._cell.channel, self._cell.style)
        check_cell(cell, self._family)
        self._cell = cell

    @property
    def difficulty(self) -> int:
        """Place of the level on its ladder, 0 the easiest. Set it; beyond an end it is that end."""
        return self.levels.index(self.level)

    @difficulty.setter
    def difficulty(self, place: int) -> None:
        self.level = self.levels[max(0, min(place, len(self.levels) - 1))]

    def __len__(self) -> int:
        """Return how many entries one pass has; any index >= 0 gives an entry."""
        return self.size

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries of one pass."""
        return (self[idx] for idx in range(self.size))

    def __getitem__(self, idx: int) -> Entry:
        """Return the entry of an index at the level of now: the same in every process."""
        if idx < 0:
            raise IndexError(f"{idx} is no index of an endless environment: give 0 or more")
        family, cell = self._family, self._cell
        item = make_instance(family, cell.level, cell.channel, self.seed, idx, role=_ROLE)
        level = level_of(family, cell.level)
        metadata = {
            "source_dataset": family.name, "source_index": idx, "item": f"{_ROLE}:{item.id}", "style": cell.style,
            "difficulty": {"level": level.name, "hardness": level.hardness, **level.axes},
            "max_tokens": family.budget(level, cell.style),
        }  # fmt: skip
        return {"question": pose(family, item, cell.style), "answer": item.gold, "metadata": metadata}

    def score_answer(self, answer: str | None, entry: Entry) -> float:
        """Return 1 for a right completion of an entry's question, else 0, by the reader and verifier of a run.

        What stands before a last `</think>` is a thought and does not count; a thought without an end is no answer.

        Raises:
            BadItemId: the entry names no item of this code.
        """
        if not isinstance(answer, str):
            return 0.0
        role, _, named = entry["metadata"]["item"].partition(":")
        if role != _ROLE or named.partition("@")[0] != self._family.name:
            raise BadItemId(f"{role}:{named} is no entry of this environment, which is of {self._family.name}")
        item = instance_from_id(named, _ROLE)
        return float(grade(self._family, item, after_thought(answer)).correct)

    def rewards(self, completions: Sequence[Any], metadata: Sequence[Mapping[str, Any]], **_: Any) -> list[float]:
        """Return the rewards of some completions, each a text or the messages of a chat: TRL's `reward_funcs`.

        `metadata` is the column of that name of a data set made from entries; other columns are not read.
        """
        texts = [text if isinstance(text, str) else text[-1]["content"] for text in completions]
        return [self.score_answer(text, {"metadata": of}) for text, of in zip(texts, metadata, strict=True)]


def after_thought(text: str) -> str:
    """Return what follows the last `</think>`; nothing where a thought has no end, and the whole text without one."""
    _, mark, answer = text.rpartition("</think>")
    return answer if mark or "<think>" not in text else ""


def environment(
    family: str, level: str = "", style: str = "", channel: str = "", seed: int | str = 0, size: int = 500
) -> Environment:
    """Return a family as an environment: its first level that asks in context, its longest style, its first channel.

    Raises:
        UnknownFamily, UnknownLevel, UnknownStyle, BadSeed: what is named does not exist, or is about trained memory.
    """
    found = find_family(family)
    asked = [one for one in found.levels.values() if not set(styles_of(found, one)) & set(PARAMETRIC)]
    if not asked:
        raise UnknownLevel(f"{family} asks about trained memory, so no level can be trained on: name another family")
    rung: Level = level_of(found, level) if level else asked[0]
    styles = [one for one in styles_of(found, rung) if one not in SCORED]
    return Environment(
        Cell(family, rung.name, channel or channels_of(found, rung)[0], style or (styles or [""])[-1]), seed, size
    )
