"""Lessons: the questions of a family with their answers, in the form of an evaluation, as training text."""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from fathom.tasks.base import Cell, Family, Level, check_cell, level_of
from fathom.tasks.corpora.base import Option, Options, TextBlock
from fathom.tasks.errors import BadOption, UnknownStyle
from fathom.tasks.registry import find_family
from fathom.tasks.stream import Stream

N_DOCUMENTS = 64
"""Number of documents in a block."""

PROMPT_OPTIONS: Mapping[str, Option] = {
    "levels": Option("", "levels of the family, blanks between them; nothing: the easier half of its main ladder"),
    "channels": Option("symbol", "channels, blanks between them"),
    "styles": Option("direct", "styles, blanks between them"),
}


class _Lesson(NamedTuple):
    """The content of one document."""

    level: Level
    channel: str
    style: str


def check_prompt(family: str, options: Options) -> None:
    """Raise BadOption, UnknownLevel or UnknownStyle unless each level, channel and style is used by some lesson."""
    _lessons(family, *[str(options[name]) for name in PROMPT_OPTIONS])


def prompt_block(name: str, options: Options, stream: Stream) -> TextBlock:
    """Write lessons, each for a random combination of level, channel and style."""
    family = find_family(name)
    lessons = _lessons(name, *[str(options[name]) for name in PROMPT_OPTIONS])
    return TextBlock(tuple([family.lesson(*stream.choice(lessons), stream) for _ in range(N_DOCUMENTS)]))


@lru_cache(maxsize=64)
def _lessons(name: str, levels: str, channels: str, styles: str) -> tuple[_Lesson, ...]:
    family = find_family(name)
    found = [
        _Lesson(level_of(family, level), channel, style)
        for level in levels.split() or _easier_half(family)
        for channel in channels.split()
        for style in styles.split()
        if _is_cell(family, Cell(name, level, channel, style))
    ]
    for wanted, asked in (
        (levels.split(), {lesson.level.name for lesson in found}),
        (channels.split(), {lesson.channel for lesson in found}),
        (styles.split(), {lesson.style for lesson in found}),
    ):
        idle = [one for one in wanted if one not in asked]
        if idle or not found:
            said = f"{', '.join(idle)!r} goes" if idle else "they go"
            raise BadOption(
                f"{name}: levels {levels or '(easier half)'}, channels {channels!r}, styles {styles!r}: {said} with "
                f"none of the others; channels are {', '.join(family.channels)}, styles {', '.join(family.styles)}"
            )
    return tuple(found)


def _is_cell(family: Family, cell: Cell) -> bool:
    try:
        check_cell(cell, family)
    except UnknownStyle:
        return False
    return True


def _easier_half(family: Family) -> list[str]:
    main = [level.name for level in family.levels.values() if level.ladder == "main"]
    return main[: (len(main) + 1) // 2]
