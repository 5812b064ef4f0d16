"""Pages of the task families: all of them, and each one with an example to answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from fathom.harness import format as text
from fathom.harness.reports.audit.stored import AUDIT_COLUMNS, stored_audit
from fathom.server.board.example import MAX_ANSWER_CHARACTERS, ExampleQuery, budget_of, ladders_of, make_example
from fathom.server.board.glossary import CHANNEL_MEANINGS, HARNESS_LABELS, STYLE_MEANINGS, by_part
from fathom.server.web.render import READ, SiteOf, page
from fathom.tasks.base import PARTS, Family, Level, channels_of, styles_of
from fathom.tasks.registry import all_families, find_family

router = APIRouter(include_in_schema=False)

_MAX_NAME = 40


@dataclass(frozen=True, slots=True)
class FamilyGroup:
    """Families that measure one part of intelligence."""

    name: str
    lead: str
    families: tuple[Family, ...]


@dataclass(frozen=True, slots=True)
class StyleCell:
    """A level in one style: chance, and the most tokens of an answer."""

    chance: float
    budget: int | None
    """None where nothing is written."""


@dataclass(frozen=True, slots=True)
class LevelRow:
    """A row of the table of levels; a cell is None in a style that the level does not have."""

    name: str
    hardness: str
    axes: str
    channels: tuple[str, ...]
    cells: tuple[StyleCell | None, ...]


@dataclass(frozen=True, slots=True)
class LadderTable:
    """Levels that differ only in hardness."""

    name: str
    styles: tuple[str, ...]
    rows: tuple[LevelRow, ...]


@dataclass(frozen=True, slots=True)
class Meaning:
    """A label, style or channel, and its meaning; empty where none is known."""

    name: str
    sentence: str


@router.api_route("/families", methods=READ)
def show_family_list(site: SiteOf) -> HTMLResponse:
    """Show all families by part."""
    known = all_families()
    parts = [FamilyGroup(part, PARTS[part], tuple(members)) for part, members in by_part(known.values()).items()]
    ladders = {name: ladders_of(family) for name, family in known.items()}
    words = _meanings(STYLE_MEANINGS, tuple(STYLE_MEANINGS)), _meanings(CHANNEL_MEANINGS, tuple(CHANNEL_MEANINGS))
    return page(site, "families", parts=parts, ladders=ladders, words=words)


@router.api_route("/families/{name}", methods=READ)
def show_family(site: SiteOf, name: str, query: Annotated[ExampleQuery, Query()]) -> HTMLResponse:
    """Show one family, with a question to answer."""
    family = find_family(name[:_MAX_NAME])  # no family has a longer name
    example = make_example(family, query)
    answer = page(
        site,
        "family",
        family=family,
        query=query,
        example=example,
        longest=MAX_ANSWER_CHARACTERS,
        styles=_meanings(STYLE_MEANINGS, family.styles),
        channels=_meanings(CHANNEL_MEANINGS, family.channels),
        mistakes=[Meaning(label, sentence) for label, sentence in family.labels.items()],
        harness=[
            Meaning(label, sentence)
            for label, sentence in HARNESS_LABELS.items()
            if label != "correct" and label not in family.labels
        ],
        ladders=ladder_tables(family),
        audit=stored_audit(family.name, family.version),
        audit_columns=AUDIT_COLUMNS,
    )
    if example.fresh:
        answer.headers["Cache-Control"] = "no-store"  # a cached copy would show the same question again
    return answer


def ladder_tables(family: Family) -> tuple[LadderTable, ...]:
    """Return a family's levels, one table for each ladder."""
    return tuple(_ladder(family, name, levels) for name, levels in ladders_of(family).items())


def _ladder(family: Family, name: str, levels: tuple[Level, ...]) -> LadderTable:
    asked = {style for level in levels for style in styles_of(family, level)}
    styles = tuple(style for style in family.styles if style in asked)
    return LadderTable(name, styles, tuple(_row(family, level, styles) for level in levels))


def _row(family: Family, level: Level, styles: tuple[str, ...]) -> LevelRow:
    own = styles_of(family, level)
    return LevelRow(
        level.name,
        text.hardness(level.hardness),
        ", ".join(f"{axis} {value}" for axis, value in level.axes.items()),
        channels_of(family, level),
        tuple(_style_cell(family, level, style) if style in own else None for style in styles),
    )


def _style_cell(family: Family, level: Level, style: str) -> StyleCell:
    return StyleCell(family.chance(level, style), budget_of(family, level, style))


def _meanings(sentences: Mapping[str, str], names: tuple[str, ...]) -> list[Meaning]:
    return [Meaning(name, sentences.get(name, "")) for name in names]
