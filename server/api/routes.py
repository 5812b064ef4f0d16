"""Turn requests of programs into JSON: everything that the pages show, under /api/v1."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse

from fathom.harness.db import read
from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.io.items import sample_row as item_row
from fathom.harness.reports.terminal import families_json
from fathom.harness.stats.paired import compare
from fathom.server.api.schema import (
    BoardOut,
    CompareOut,
    Counts,
    ItemOut,
    ModelList,
    ModelOut,
    ModelWhole,
    RunList,
    RunWhole,
    SampleList,
    SampleOut,
    SuiteOut,
    comparison_out,
    place_out,
    run_out,
    run_whole,
    sample_out,
    standing_out,
    suite_out,
)
from fathom.server.board.compare import open_pairs, open_sides
from fathom.server.board.downloads import cell_rows
from fathom.server.board.leaderboard import (
    PAGE,
    BoardQuery,
    BoardRow,
    Levels,
    NoSuchView,
    by_level,
    choose_pool,
    wanted_of,
)
from fathom.server.board.samples import Query as SampleQuery
from fathom.server.board.samples import check_query, find_run, measures_of
from fathom.server.web.addresses import (
    LARGEST,
    CellId,
    Correct,
    Label,
    ModelPath,
    Models,
    Plain,
    RunPath,
    SampleId,
    make_pager,
)
from fathom.server.web.problems import Problem
from fathom.server.web.render import READ, SiteOf, page

VERSION = "1"
_PROBLEM = {"application/problem+json": {"schema": Problem.model_json_schema()}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is none such.", "content": _PROBLEM},
    422: {"description": "The request asks for something that cannot be.", "content": _PROBLEM},
}

router = APIRouter(prefix="/api/v1", responses=PROBLEMS)
docs = APIRouter(include_in_schema=False)

Words = Annotated[str, Plain, Query(max_length=100, description="Words that the name contains.")]
FamilyName = Annotated[str, Path(description="Name of a task family.")]
LevelName = Annotated[str, Plain, Query(max_length=64, description="A level of the family.")]
SeedText = Annotated[str, Plain, Query(max_length=64, description="Hex digits; each seed makes other items.")]
Channel = Annotated[str, Plain, Query(max_length=64, description="symbol or story.")]
Style = Annotated[str, Plain, Query(max_length=64, description="direct, cot, choice or free.")]
Limit = Annotated[int, Query(ge=1, le=200, description="Things an answer holds at most.")]
Offset = Annotated[int, Query(ge=0, le=LARGEST, description="Things to pass over.")]


@docs.api_route("/api", methods=READ)
def show_api(request: Request, site: SiteOf) -> HTMLResponse:
    """Describe the API to people."""
    paths = request.app.openapi()["paths"]
    calls = [(method.upper(), path, call) for path, methods in paths.items() for method, call in methods.items()]
    return page(site, "api", calls=calls)


@router.get("/suites")
def list_suites(site: SiteOf) -> list[SuiteOut]:
    """Return the suites in which models are ranked, that of most models first."""
    return [suite_out(pool) for pool in db_board.list_pools(site.db)]


@router.get("/board")
def read_board(site: SiteOf, response: Response, query: Annotated[BoardQuery, Query()]) -> BoardOut:
    """Return a page of the board: 100 standings of one suite and style."""
    pools = db_board.list_pools(site.db)
    if not pools:
        raise NoSuchView("no model has finished a run yet")
    pool = choose_pool(query, pools)
    wanted = wanted_of(query, pool)
    found = db_board.list_standings(site.db, wanted, (query.page - 1) * PAGE, PAGE)
    pager = make_pager(query.page, found.total, PAGE, lambda to: query.link(page=to))
    _link(response, "/api/v1/board", {"next": pager.next, "prev": pager.previous})
    if query.family is None:
        standings = [standing_out(one) for one in found.standings]
    else:
        levels, rows = by_level(site.db, query, wanted.style, found.standings)
        standings = [standing_out(row.standing, _counts(levels, row)) for row in rows]
    return BoardOut(
        pool=pool.id, style=wanted.style, total=found.total, page=query.page, n_pages=pager.n_pages,
        standings=standings,
    )  # fmt: skip


def _counts(levels: Levels, row: BoardRow) -> dict[str, Counts]:
    scored = zip(levels.columns, row.levels, strict=True)
    return {column.level: Counts(k=one.counts.k, n=one.counts.n) for column, one in scored if one is not None}


@router.get("/models")
def list_models(
    site: SiteOf,
    response: Response,
    q: Words = "",
    limit: Limit = 100,
    offset: Offset = 0,
) -> ModelList:
    """Return models whose names contain all words of q, by name."""
    models, total = db_board.list_models(site.db, q, limit, offset)
    _turn(response, "/api/v1/models", {"q": q} if q else {}, (limit, offset, total))
    return ModelList(total=total, models=[ModelOut(id=one.id, name=one.name) for one in models])


@router.get("/models/{name:path}")
def read_model(site: SiteOf, name: ModelPath) -> ModelWhole:
    """Return a model with its standings and newest runs; ~ and a number stand for a name."""
    (model,) = db_board.find_models(site.db, [name])
    places = db_board.places_of(site.db, [model.id])[model.id]
    runs = read.runs_of_model(site.db, model.id)
    return ModelWhole(
        id=model.id, name=model.name, places=[place_out(one) for one in places], runs=[run_out(one) for one in runs]
    )


@router.get("/runs")
def list_runs(site: SiteOf, response: Response, limit: Limit = 100, offset: Offset = 0) -> RunList:
    """Return runs, newest first."""
    total = read.count_runs(site.db)
    _turn(response, "/api/v1/runs", {}, (limit, offset, total))
    return RunList(total=total, runs=[run_out(one) for one in read.list_runs(site.db, limit, offset)])


@router.get("/runs/{run}")
def read_run(site: SiteOf, run: RunPath) -> RunWhole:
    """Return a run with manifest, cells and scores."""
    detail = find_run(site.db, run)
    stored = db_board.get_result(site.db, detail.summary.run)
    return run_whole(detail, stored, measures_of(site, detail))


@router.get("/runs/{run}/samples")
def list_samples(
    site: SiteOf, response: Response, run: RunPath, cell: CellId = None, label: Label = None, correct: Correct = None,
    limit: Limit = 50, offset: Offset = 0,
) -> SampleList:  # fmt: skip
    """Return samples of a run with their questions."""
    detail = find_run(site.db, run)
    query = SampleQuery(cell, label, None if correct is None else correct == "true")
    check_query(detail, query)
    found = read.get_samples(site.db, detail, query.wanted, offset, limit)
    asked = {"cell": cell, "label": label, "correct": correct}
    filters = {key: str(value) for key, value in asked.items() if value is not None}
    _turn(response, f"/api/v1/runs/{detail.summary.run}/samples", filters, (limit, offset, found.total))
    return SampleList(total=found.total, samples=[sample_out(one) for one in found.samples])


@router.get("/runs/{run}/samples/{sample}")
def read_sample(site: SiteOf, run: RunPath, sample: SampleId) -> SampleOut:
    """Return one sample with its question."""
    return sample_out(read.get_sample(site.db, find_run(site.db, run), sample))


@router.get("/compare")
def read_comparison(site: SiteOf, m: Models) -> CompareOut:
    """Compare two models on the largest suite that both have finished."""
    sides = open_sides(site.db, m)
    pairs = open_pairs(site.db, sides)
    return CompareOut(
        models=[side.model.name for side in sides], runs=[side.detail.summary.run for side in sides],
        paired=any(pair.n for pair in pairs), comparisons=[comparison_out(one) for one in compare(pairs)],
        cells=cell_rows(pairs),
    )  # fmt: skip


@router.get("/families")
def list_families() -> list[dict[str, Any]]:
    """Return all task families with levels, chance and budgets."""
    return families_json()


@router.get("/items/{family}")
def make_item(
    family: FamilyName, level: LevelName, seed: SeedText, channel: Channel = "symbol", style: Style = "direct",
    index: Annotated[int, Query(ge=0, lt=10**18, description="Place of the item among those of its seed.")] = 0,
) -> ItemOut:  # fmt: skip
    """Make one item from a seed: the question as a model sees it, and its gold."""
    return ItemOut(**item_row(family, level, channel, style, seed, index))


def _turn(response: Response, address: str, filters: dict[str, str], window: tuple[int, int, int]) -> None:
    """Link to the next and the previous things; `window` is (limit, offset, total)."""
    limit, offset, total = window
    links = {}
    if offset + limit < total:
        links["next"] = "?" + urlencode({**filters, "limit": limit, "offset": offset + limit})
    if offset:
        links["prev"] = "?" + urlencode({**filters, "limit": limit, "offset": max(0, offset - limit)})
    _link(response, address, dict(links))


def _link(response: Response, address: str, links: dict[str, str | None]) -> None:
    found = [f'<{address}{query}>; rel="{rel}"' for rel, query in links.items() if query]
    if found:
        response.headers["Link"] = ", ".join(found)
