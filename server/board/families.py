"""Turn the registry of families into pages: all of them, and one with a question to answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from fathom.harness import format as text
from fathom.server.board.example import LONGEST_ANSWER, Asked, budget_of, ladders_of, make_example
from fathom.server.board.glossary import CHANNEL_MEANINGS, HARNESS_LABELS, STYLE_MEANINGS, by_part
from fathom.server.web.render import SiteOf, page
from fathom.tasks.base import PARTS, Family, Level, channels_of, styles_of
from fathom.tasks.registry import all_families, find_family

router = APIRouter(include_in_schema=False)

_READ = ["GET", "HEAD"]
_LONGEST_NAME = 40


@dataclass(frozen=True, slots=True)
class FamilyGroup:
    """Families that measure one part of intelligence."""

    name: str
    lead: str
    families: tuple[Family, ...]


@dataclass(frozen=True, slots=True)
class Square:
    """A level in one style: how often a guesser is right, and how many tokens an answer may take."""

    chance: float
    budget: int | None
    """None where nothing is written."""


@dataclass(frozen=True, slots=True)
class LevelRow:
    """A level; a square is None in a style in which it is not asked."""

    name: str
    hardness: str
    axes: str
    channels: tuple[str, ...]
    squares: tuple[Square | None, ...]


@dataclass(frozen=True, slots=True)
class Ladder:
    """Levels that differ in hardness alone."""

    name: str
    styles: tuple[str, ...]
    rows: tuple[LevelRow, ...]


@dataclass(frozen=True, slots=True)
class Meaning:
    """A label, a style or a channel, and what it means; empty where the family has brought no words."""

    name: str
    sentence: str


@router.api_route("/families", methods=_READ)
def show_families(site: SiteOf) -> HTMLResponse:
    """Show all families by part."""
    known = all_families()
    parts = [FamilyGroup(part, PARTS[part], tuple(members)) for part, members in by_part(known.values()).items()]
    ladders = {name: ladders_of(family) for name, family in known.items()}
    words = _meanings(STYLE_MEANINGS, tuple(STYLE_MEANINGS)), _meanings(CHANNEL_MEANINGS, tuple(CHANNEL_MEANINGS))
    return page(site, "families", parts=parts, ladders=ladders, words=words)


@router.api_route("/families/{name}", methods=_READ)
def show_family(site: SiteOf, name: str, asked: Annotated[Asked, Query()]) -> HTMLResponse:
    """Show one family, and a question that the visitor may answer."""
    family = find_family(name[:_LONGEST_NAME])  # no name is as long as that
    example = make_example(family, asked)
    answer = page(
        site,
        "family",
        family=family,
        asked=asked,
        example=example,
        longest=LONGEST_ANSWER,
        styles=_meanings(STYLE_MEANINGS, family.styles),
        channels=_meanings(CHANNEL_MEANINGS, family.channels),
        mistakes=[Meaning(label, sentence) for label, sentence in family.labels.items()],
        harness=[Meaning(label, sentence) for label, sentence in HARNESS_LABELS.items() if label != "correct"],
        ladders=ladder_tables(family),
    )
    if example.fresh:
        answer.headers["Cache-Control"] = "no-store"  # a kept copy would be the same question again
    return answer


def ladder_tables(family: Family) -> tuple[Ladder, ...]:
    """Lay out a family's levels, a table a ladder."""
    return tuple(_ladder(family, name, levels) for name, levels in ladders_of(family).items())


def _ladder(family: Family, name: str, levels: tuple[Level, ...]) -> Ladder:
    asked = {style for level in levels for style in styles_of(family, level)}
    styles = tuple(style for style in family.styles if style in asked)
    return Ladder(name, styles, tuple(_row(family, level, styles) for level in levels))


def _row(family: Family, level: Level, styles: tuple[str, ...]) -> LevelRow:
    own = styles_of(family, level)
    return LevelRow(
        level.name,
        text.hardness(level.hardness),
        ", ".join(f"{axis} {value}" for axis, value in level.axes.items()),
        channels_of(family, level),
        tuple(_square(family, level, style) if style in own else None for style in styles),
    )


def _square(family: Family, level: Level, style: str) -> Square:
    return Square(family.chance(level, style), budget_of(family, level, style))


def _meanings(sentences: Mapping[str, str], names: tuple[str, ...]) -> list[Meaning]:
    return [Meaning(name, sentences.get(name, "")) for name in names]
