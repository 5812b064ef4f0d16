"""Pages of the task families: all of them, and each one with an example to answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from sqlalchemy import Engine

from fathom.harness import format as text
from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.db.leaderboard.read import Pool, Standing, StandingQuery, get_revision
from fathom.harness.db.schema.runs import RANKED_TIER
from fathom.harness.reports.audit.stored import AUDIT_COLUMNS, stored_audit
from fathom.server.board.charts import MOST_LINES, Chart, draw_standings
from fathom.server.board.example import MAX_ANSWER_CHARACTERS, ExampleQuery, budget_of, ladders_of, make_example
from fathom.server.board.glossary import CHANNEL_MEANINGS, HARNESS_LABELS, STYLE_MEANINGS, by_part
from fathom.server.web.render import READ, SiteOf, page
from fathom.tasks.base import PARTS, Family, Level, channels_of, styles_of
from fathom.tasks.errors import UnknownFamily
from fathom.tasks.published import PUBLISHED
from fathom.tasks.reasoning_gym import PREFIX
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


@dataclass(frozen=True, slots=True)
class StyleCurves:
    """Curves of some models in one style: the best and others spread over the rest."""

    style: str
    chart: Chart
    standings: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class MeasuredFamily:
    """A family in the pool that most models share; `curves` has one entry a style."""

    pool: Pool
    curves: tuple[StyleCurves, ...]


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
    family = known_family_of(site.db, name[:_MAX_NAME])  # no family has a longer name
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
        measured=site.drawn.get(
            ("family", family.name, *get_revision(site.db)), lambda: measured_family(site.db, family.name)
        ),
        published=PUBLISHED.get(family.name, ()),
        audit=stored_audit(family.name, family.version),
        audit_columns=AUDIT_COLUMNS,
    )
    if example.fresh:
        answer.headers["Cache-Control"] = "no-store"  # a cached copy would show the same question again
    return answer


def known_family_of(db: Engine, name: str) -> Family:
    """Return a family that is installed or that a stored result asks.

    A visitor opens no other: to open a data set of reasoning-gym may take minutes.

    Raises:
        UnknownFamily: there is no such family, or no result here asks it.
    """
    if name.startswith(PREFIX) and not any(
        name in asked for one in db_board.list_pools(db) for asked in one.asked.values()
    ):
        raise UnknownFamily(
            f"no result here asks {name!r}: `fathom families {PREFIX}NAME` shows it on the command line"
        )
    return find_family(name)


def measured_family(db: Engine, family: str) -> MeasuredFamily | None:
    """Return curves of up to six models in each style; None where no checked result asks the family."""
    pools = (pool for pool in db_board.list_pools(db) if pool.tier >= RANKED_TIER)
    pool = next((one for one in pools if any(family in asked for asked in one.asked.values())), None)
    if pool is None:
        return None
    styles = [style for style, asked in pool.asked.items() if family in asked]
    curves = [_curves(db, StandingQuery(pool.id, style, sort=family, order="desc"), pool, family) for style in styles]
    return MeasuredFamily(pool, tuple(one for one in curves if one is not None))


def _curves(db: Engine, wanted: StandingQuery, pool: Pool, family: str) -> StyleCurves | None:
    spread = sorted({round(place * (pool.n_models - 1) / (MOST_LINES - 1)) for place in range(MOST_LINES)})
    standings = db_board.standings_at(db, wanted, spread)
    published = [curve for one in PUBLISHED.get(family, ()) if one.style == wanted.style for curve in one.curves]
    charts = draw_standings(db, standings, wanted.style, [family], published)
    return StyleCurves(wanted.style, charts[0], standings) if charts else None


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
