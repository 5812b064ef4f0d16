"""Pictures of the board: their addresses, their text and tables for pages, and the routes that draw them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from fastapi import APIRouter, Response
from sqlalchemy import Engine

from fathom.harness.db import read
from fathom.harness.records import RunSummary
from fathom.harness.reports.figures.palettes import Theme
from fathom.harness.reports.figures.picture import (
    Anatomy,
    Curves,
    DataTable,
    Picture,
    anatomy_of,
    curves_of,
    digest,
    table_of,
)
from fathom.harness.reports.figures.svg import draw_svg
from fathom.harness.stats.scores import CellCounts
from fathom.server.board.leaderboard import NoSuchView
from fathom.server.board.scores import group_of
from fathom.server.web.addresses import PlotName, RunId, ThemeName
from fathom.server.web.headers import REVALIDATE, with_etag
from fathom.server.web.render import READ, STYLE_WORDS, SiteOf

router = APIRouter(prefix="/pictures", include_in_schema=False)

_SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # an SVG's own colours; it runs no script


@dataclass(frozen=True, slots=True)
class PictureLinks:
    """A picture's addresses in light and dark, its title, its description and its data table."""

    light: str
    dark: str
    title: str
    description: str
    table: DataTable


@dataclass(frozen=True, slots=True)
class LadderPictures:
    """The pictures of a ladder in one channel: accuracy curves, and mistakes by style."""

    ladder: str
    channel: str
    curves: PictureLinks | None
    mistakes: tuple[PictureLinks, ...]


_Ladders = Mapping[tuple[str, str], Mapping[str, list[CellCounts]]]
"""Cells by (ladder, channel), then by style."""


def _by_ladder(cells: Iterable[CellCounts]) -> _Ladders:
    """CellGroup cells of one family."""
    found: dict[tuple[str, str], dict[str, list[CellCounts]]] = {}
    for cell in cells:
        group = group_of(cell)
        found.setdefault((group.ladder, cell.channel), {}).setdefault(cell.style, []).append(cell)
    return found


def ladder_pictures(runs: Sequence[str], cells: Sequence[CellCounts]) -> tuple[LadderPictures, ...]:
    """Return the pictures of one family's cells; curves have one series a style."""
    return tuple(
        LadderPictures(
            ladder, channel,
            _drawn(
                "curves", curves_of(_title(styles, ladder, channel), _in_words(styles)), runs,
                _place(styles, ladder, channel),
            ),
            tuple(
                found
                for style, members in styles.items()
                if (found := _mistakes(runs, members, ladder, channel, style)) is not None
            ),
        )
        for (ladder, channel), styles in _by_ladder(cells).items()
    )  # fmt: skip


def compared_pictures(
    runs: Sequence[str], names: Sequence[str], cells: Sequence[Sequence[CellCounts]], style: str
) -> Mapping[tuple[str, str], PictureLinks]:
    """Return the curves of several runs in one picture, by (ladder, channel), for one family and style."""
    ladders = [_by_ladder(cell for cell in members if cell.style == style) for members in cells]
    found = {}
    for ladder, channel in dict.fromkeys(key for one in ladders for key in one):
        series = _compared_series(names, ladders, (ladder, channel), style)
        first = next(iter(series.values()))
        place = {**_place({style: first}, ladder, channel), "style": style}
        picture = curves_of(_title({style: first}, ladder, channel), series)
        if (drawn := _drawn("curves", picture, runs, place)) is not None:
            found[ladder, channel] = drawn
    return found


def _compared_series(
    names: Sequence[str], ladders: Sequence[_Ladders], key: tuple[str, str], style: str
) -> dict[str, list[CellCounts]]:
    """Return each run's cells under its model's name; two of one name are numbered."""
    found: dict[str, list[CellCounts]] = {}
    for at, (name, one) in enumerate(zip(names, ladders, strict=True), 1):
        cells = one.get(key, {}).get(style)
        if cells:
            found[name if names.count(name) == 1 else f"{at}: {name}"] = cells
    return found


def _in_words(styles: Mapping[str, Sequence[CellCounts]]) -> dict[str, Sequence[CellCounts]]:
    """Name the series of a picture as visitors know the styles."""
    return {STYLE_WORDS.get(style, style): cells for style, cells in styles.items()}


def _title(styles: Mapping[str, Sequence[CellCounts]], ladder: str, channel: str) -> str:
    family = next(iter(styles.values()))[0].family
    return f"{family}, {ladder} ladder, {channel} channel"


def _place(styles: Mapping[str, Sequence[CellCounts]], ladder: str, channel: str) -> dict[str, str]:
    return {"family": next(iter(styles.values()))[0].family, "ladder": ladder, "channel": channel}


def _mistakes(
    runs: Sequence[str], cells: Sequence[CellCounts], ladder: str, channel: str, style: str
) -> PictureLinks | None:
    place = {**_place({style: cells}, ladder, channel), "style": style}
    return _drawn("mistakes", _anatomy(cells, ladder, channel, style), runs, place)


def _anatomy(cells: Sequence[CellCounts], ladder: str, channel: str, style: str) -> Anatomy | None:
    words = STYLE_WORDS.get(style, style).lower()
    return anatomy_of(f"{_title({style: cells}, ladder, channel)}, {words}: how answers go wrong", cells)


def _drawn(kind: str, picture: Picture | None, runs: Sequence[str], place: Mapping[str, str]) -> PictureLinks | None:
    if picture is None:
        return None
    asked = urlencode([("run", run) for run in runs] + list(place.items()))
    light, dark = (f"/pictures/{kind}.svg?{asked}&theme={theme}" for theme in ("light", "dark"))
    return PictureLinks(light, dark, picture.title, picture.description, table_of(picture))


@router.api_route("/curves.svg", methods=READ)
def show_curves(
    site: SiteOf, run: RunId, family: PlotName, ladder: PlotName, channel: PlotName, style: PlotName | None = None,
    theme: ThemeName = "light",
) -> Response:  # fmt: skip
    """Draw accuracy against difficulty: one run by style, or several runs in one style."""
    found = _cells(site.db, run, family)
    if style is None:
        styles = _by_ladder(next(iter(found.values()))).get((ladder, channel), {})
        return _answer(_curves(_in_words(styles), family, ladder, channel), theme)
    names = [summary.model for summary in found]
    ladders = [_by_ladder(cell for cell in cells if cell.style == style) for cells in found.values()]
    return _answer(_curves(_compared_series(names, ladders, (ladder, channel), style), family, ladder, channel), theme)


def _curves(series: Mapping[str, Sequence[CellCounts]], family: str, ladder: str, channel: str) -> Curves | None:
    return curves_of(f"{family}, {ladder} ladder, {channel} channel", series)


@router.api_route("/mistakes.svg", methods=READ)
def show_mistakes(
    site: SiteOf,
    run: RunId,
    family: PlotName,
    ladder: PlotName,
    channel: PlotName,
    style: PlotName,
    theme: ThemeName = "light",
) -> Response:
    """Draw the shares of right answers and of each mistake, for one run, ladder, channel and style."""
    cells = next(iter(_cells(site.db, run, family).values()))
    members = _by_ladder(cells).get((ladder, channel), {}).get(style, [])
    return _answer(_anatomy(members, ladder, channel, style) if members else None, theme)


def _cells(db: Engine, runs: Sequence[str], family: str) -> Mapping[RunSummary, tuple[CellCounts, ...]]:
    summaries = read.summaries_of(db, runs)
    cells = read.cells_of_runs(db, [one.run for one in summaries], family)
    return {one: cells[one.run] for one in summaries}


def _answer(picture: Picture | None, theme: Theme) -> Response:
    if picture is None:
        raise NoSuchView("there is nothing to draw: no such ladder, or nothing graded in it yet")
    headers = {"Content-Security-Policy": _SVG_POLICY, "Cache-Control": REVALIDATE}
    return with_etag(
        Response(draw_svg(picture, theme), media_type="image/svg+xml", headers=headers), f"{digest(picture)}-{theme}"
    )
