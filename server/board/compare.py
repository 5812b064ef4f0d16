"""The comparison of two models: scores and tests by family, cells, and items on which they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import numpy as np
from sqlalchemy import Engine

from fathom.harness.db import read
from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.db.leaderboard.read import BoardRank, Model, Pool
from fathom.harness.db.samples import samples_at
from fathom.harness.db.seal import check_unsealed
from fathom.harness.records import RunDetail
from fathom.harness.reports.comparison import pair_found, shared_cells
from fathom.harness.reports.found import share_texts
from fathom.harness.runs.run_settings import prompt_settings_of
from fathom.harness.stats.paired import CellPair, Comparison, compare, mcnemar
from fathom.server.board.charts import Chart, ChartSource, family_charts
from fathom.server.board.leaderboard import NoSuchView
from fathom.server.board.pictures import PictureLinks, compared_pictures
from fathom.server.board.portrait import LadderDepth, depth_of_ladder
from fathom.server.board.samples import ShownSample, show_sample
from fathom.server.board.scores import CellScore, score_of
from fathom.server.web.addresses import Pager, make_pager, model_key

_ITEMS_A_PAGE = 10

ONLY = ("first", "second", "neither")
"""Items of a cell: that only one model got right, or neither."""


@dataclass(frozen=True, slots=True)
class ComparedModel:
    """One of the two models, and the run that is compared; `short` is its name where there is little room."""

    model: Model
    key: str
    detail: RunDetail
    short: str


@dataclass(frozen=True, slots=True)
class ComparedCell:
    """A cell of both; `p` is of McNemar's test, None where no item is shared."""

    pair: CellPair
    first: CellScore
    second: CellScore
    p: float | None
    link: str


@dataclass(frozen=True, slots=True)
class ComparedDepth:
    """The depth50 of both on a ladder."""

    ladder: str
    channel: str
    first: LadderDepth
    second: LadderDepth


_Depths = Mapping[tuple[str, str], tuple[ComparedDepth, ...]]
"""By family and style."""


@dataclass(frozen=True, slots=True)
class ComparedFamily:
    """One family of both, in one style."""

    comparison: Comparison
    depths: tuple[ComparedDepth, ...]
    cells: tuple[ComparedCell, ...]
    pictures: tuple[PictureLinks, ...]


@dataclass(frozen=True, slots=True)
class ComparedItem:
    """An item with the answers of both; None where a completion is not stored."""

    item: ShownSample
    answers: tuple[ShownSample | None, ShownSample | None]


@dataclass(frozen=True, slots=True)
class ComparedFound:
    """How the answers of both were found, in a family or in all (named "")."""

    family: str
    shares: tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class ComparePage:
    """Everything on the page."""

    sides: tuple[ComparedModel, ComparedModel]
    paired: bool
    styles: tuple[str, ...]
    style: str
    overall: Comparison | None
    found: tuple[ComparedFound, ...]
    """Empty where it is not known of either."""
    families: tuple[ComparedFamily, ...]
    example: ComparedItem | None
    example_line: ComparedCell | None
    link: str
    """The page's query without a style."""
    sealed: bool
    """Whether items of one of them are still secret."""
    charts: tuple[Chart, ...]
    """One a family, a line a model."""


def open_comparison(db: Engine, names: Sequence[str], style: str | None) -> ComparePage:
    """Compare two models on the largest suite that both have finished, on shared items where there are any.

    Raises:
        UnknownModel: there is no such model.
        NoSuchView: the two have no cell in common, or not in this style.
    """
    sides = open_sides(db, names)
    pairs = open_pairs(db, sides)
    styles = tuple(dict.fromkeys(pair.first.style for pair in pairs))
    chosen = style or styles[0]
    if chosen not in styles:
        raise NoSuchView(f"these two have no style {chosen!r} in common; known: {', '.join(styles)}")
    mine = [pair for pair in pairs if pair.first.style == chosen]
    found = compare(mine)
    lines = [_line(sides, pair) for pair in mine]
    depths = _depths(db, sides)
    best = max(lines, key=_difference, default=None)
    example = None
    if best is not None and _difference(best):
        example = next(iter(_both(db, sides, best.pair, _indices(best.pair, _leader(best.pair))[:1])), None)
    return ComparePage(
        sides, any(pair.n for pair in mine), styles, chosen, next((one for one in found if not one.name), None),
        _found(mine), tuple(_part(sides, one, lines, depths) for one in found if one.name), example,
        best if example else None, _link(sides), any(side.detail.summary.sealed for side in sides),
        _charts(sides, chosen),
    )  # fmt: skip


def _charts(sides: tuple[ComparedModel, ComparedModel], style: str) -> tuple[Chart, ...]:
    cells = [[cell for cell in side.detail.cells if cell.style == style] for side in sides]
    sources = [
        ChartSource(side.model.name, side.detail.summary.run, mine, side.detail.summary.sealed)
        for side, mine in zip(sides, cells, strict=True)
    ]
    return family_charts(sources, dict.fromkeys(cell.family for mine in cells for cell in mine))


def _found(pairs: Sequence[CellPair]) -> tuple[ComparedFound, ...]:
    told = [one for one in pair_found(pairs) if one.is_notable or not one.family]
    if all(row.counts is None for one in told for row in (one.first, one.second)):
        return ()
    return tuple(ComparedFound(one.family, (share_texts(one.first), share_texts(one.second))) for one in told)


def open_sides(db: Engine, names: Sequence[str]) -> tuple[ComparedModel, ComparedModel]:
    """Return two models with their runs of the largest suite that both have finished.

    Raises:
        UnknownModel: there is no such model.
        NoSuchView: not two models are named, or one has no finished run.
    """
    if len(names) != 2:
        raise NoSuchView(f"a comparison takes two models, {len(names)} were named: give m=ONE&m=ANOTHER")
    models = db_board.find_models(db, names)
    places = db_board.ranks_of_models(db, [model.id for model in models])
    pools = db_board.list_pools(db)
    runs = _shared_runs(pools, [places[model.id] for model in models])
    details = {run: read.get_run(db, run) for run in dict.fromkeys(runs)}
    first, second = (
        ComparedModel(model, model_key(model), details[run], short)
        for model, run, short in zip(models, runs, short_names([model.name for model in models]), strict=True)
    )
    return first, second


def short_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names without their owners where these are not needed to tell them apart; equal names are numbered."""
    if len(set(names)) < len(names):
        return tuple(f"{at}: {name}" for at, name in enumerate(names, 1))
    bare = tuple(name.rpartition("/")[2] for name in names)
    return bare if all(bare) and len(set(bare)) == len(bare) else tuple(names)


def _shared_runs(pools: Sequence[Pool], places: Sequence[Sequence[BoardRank]]) -> list[str]:
    by_pool = [{place.pool: place.run for place in reversed(mine)} for mine in places]  # the best comes last
    for pool in sorted(pools, key=lambda one: -one.n_items):
        if all(pool.id in mine for mine in by_pool):
            return [mine[pool.id] for mine in by_pool]
    largest = {pool.id: pool.n_items for pool in pools}
    if not all(by_pool):
        raise NoSuchView("one of these models has not finished a run yet: its page shows how far it is")
    return [max(mine.items(), key=lambda item: largest.get(item[0], 0))[1] for mine in by_pool]


def open_pairs(db: Engine, sides: tuple[ComparedModel, ComparedModel]) -> tuple[CellPair, ...]:
    """Return the cells that two runs share, in all styles.

    Raises:
        NoSuchView: they share no cell.
    """
    pairs = shared_cells(db, sides[0].detail, sides[1].detail)
    if not pairs:
        raise NoSuchView("these two have no cell in common: run both on one suite")
    return pairs


def _line(sides: tuple[ComparedModel, ComparedModel], pair: CellPair) -> ComparedCell:
    p = mcnemar(pair.only_first, pair.only_second) if pair.n else None
    return ComparedCell(
        pair, score_of(pair.first), score_of(pair.second), p, f"/compare/items?{_cell_query(sides, pair)}"
    )


def _cell_query(sides: tuple[ComparedModel, ComparedModel], pair: CellPair) -> str:
    return urlencode([*_keys(sides), ("cell", cell_name(pair))])


def _keys(sides: tuple[ComparedModel, ComparedModel]) -> list[tuple[str, str]]:
    return [("m", side.key) for side in sides]


def _link(sides: tuple[ComparedModel, ComparedModel]) -> str:
    return "?" + urlencode(_keys(sides))


def cell_name(pair: CellPair) -> str:
    """Return the name of a cell: family/level/channel/style."""
    cell = pair.first
    return f"{cell.family}/{cell.level}/{cell.channel}/{cell.style}"


def _difference(line: ComparedCell) -> int:
    return abs(line.pair.only_first - line.pair.only_second)


def _leader(pair: CellPair) -> str:
    return "first" if pair.only_first > pair.only_second else "second"


def _indices(pair: CellPair, only: str) -> list[int]:
    first, second = pair.first_right, pair.second_right
    chosen = {"first": first & ~second, "second": second & ~first, "neither": ~first & ~second}[only]
    return [int(index) for index in np.asarray(pair.indices)[chosen]]


def _part(
    sides: tuple[ComparedModel, ComparedModel], one: Comparison, lines: Sequence[ComparedCell], depths: _Depths
) -> ComparedFamily:
    mine = tuple(line for line in lines if line.pair.first.family == one.name)
    cells = [[line.pair.first for line in mine], [line.pair.second for line in mine]]
    names = [side.model.name for side in sides]
    pictures = compared_pictures([side.detail.summary.run for side in sides], names, cells, one.style)
    return ComparedFamily(one, depths.get((one.name, one.style), ()), mine, tuple(pictures.values()))


def _depths(db: Engine, sides: tuple[ComparedModel, ComparedModel]) -> _Depths:
    first, second = (_stored_depths(db_board.get_result(db, side.detail.summary.run)) for side in sides)
    found: dict[tuple[str, str], tuple[ComparedDepth, ...]] = {}
    for key in first:
        if key in second:
            family, ladder, channel, style = key
            line = ComparedDepth(ladder, channel, first[key], second[key])
            found[family, style] = (*found.get((family, style), ()), line)
    return found


def _stored_depths(result: Mapping[str, Any] | None) -> dict[tuple[str, str, str, str], LadderDepth]:
    """Return the depths of a stored result by family, ladder, channel and style; of ladders with several levels."""
    return {
        (one["family"], one["ladder"], one["channel"], one["style"]): depth_of_ladder(one)
        for one in (result or {}).get("ladders", ())
        if one["depth50"]
    }


@dataclass(frozen=True, slots=True)
class ItemsPage:
    """The page of items on which two models differ, or both fail."""

    sides: tuple[ComparedModel, ComparedModel]
    cell: str
    line: ComparedCell
    only: str
    counts: Mapping[str, int]
    items: tuple[ComparedItem, ...]
    pager: Pager
    link: str


def open_items(db: Engine, names: Sequence[str], cell: str, only: str | None, page: int) -> ItemsPage:
    """Read the items of a cell that one model alone got right, or neither.

    Raises:
        UnknownModel, NoSuchView, NoSuchPage: there is no such model, cell or page.
        SealedRun: the items are still secret.
    """
    sides = open_sides(db, names)
    for side in sides:
        check_unsealed(side.detail.summary.sealed, side.detail.summary.season)
    pair = next((one for one in open_pairs(db, sides) if cell_name(one) == cell), None)
    if pair is None or not pair.n:
        raise NoSuchView("these two share no items in that cell: their comparison lists the cells with shared items")
    chosen = only or _leader(pair)
    counts = {name: len(_indices(pair, name)) for name in ONLY}
    link = f"?{_cell_query(sides, pair)}"
    pager = make_pager(page, counts[chosen], _ITEMS_A_PAGE, lambda to: f"{link}&only={chosen}&page={to}")
    indices = _indices(pair, chosen)[(page - 1) * _ITEMS_A_PAGE : page * _ITEMS_A_PAGE]
    items = tuple(_both(db, sides, pair, indices))
    return ItemsPage(sides, cell, _line(sides, pair), chosen, counts, items, pager, link)


def _both(
    db: Engine, sides: tuple[ComparedModel, ComparedModel], pair: CellPair, indices: Sequence[int]
) -> list[ComparedItem]:
    found = []
    if not indices:
        return []
    stored = samples_at(db, [pair.first.id, pair.second.id], indices, sides[0].detail.suite.seed)
    asked = [prompt_settings_of(side.detail.manifest) for side in sides]
    for index in indices:
        first, second = (
            show_sample(sample, how) if (sample := stored.get((cell.id, index))) else None
            for cell, how in zip((pair.first, pair.second), asked, strict=True)
        )
        if (item := first or second) is not None:
            found.append(ComparedItem(item, (first, second)))
    return found
