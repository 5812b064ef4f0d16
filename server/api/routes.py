"""The JSON API of the board: everything that its pages show, under /api/v1."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import HTMLResponse

from fathom.harness.db import read
from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.io.items import item_row
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
    answers_out,
    comparison_out,
    place_out,
    run_out,
    run_whole,
    sample_out,
    standing_out,
    suite_out,
)
from fathom.server.board.compare import open_pairs, open_sides
from fathom.server.board.downloads import pair_rows
from fathom.server.board.families import known_family_of
from fathom.server.board.leaderboard import (
    MODELS_A_PAGE,
    BoardQuery,
    BoardRow,
    LevelTable,
    NoSuchView,
    by_level,
    choose_pool,
    standings_filter,
)
from fathom.server.board.samples import SampleQuery, check_query, cost_on_page, measures_of, run_at
from fathom.server.web.addresses import (
    MAX_ID,
    CellId,
    Correct,
    Label,
    ModelPath,
    Models,
    Plain,
    ReadingName,
    RunPath,
    SampleId,
    make_pager,
)
from fathom.server.web.problems import ApiProblem
from fathom.server.web.render import READ, SiteOf, page

API_VERSION = "1"
_PROBLEM = {"application/problem+json": {"schema": ApiProblem.model_json_schema()}}
API_PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: {"description": "There is no such thing.", "content": _PROBLEM},
    422: {"description": "The request is not valid.", "content": _PROBLEM},
}

router = APIRouter(prefix="/api/v1", responses=API_PROBLEMS)
docs = APIRouter(include_in_schema=False)

_Words = Annotated[str, Plain, Query(max_length=100, description="Words that the name contains.")]
_FamilyName = Annotated[str, Path(description="Name of a task family.")]
_LevelName = Annotated[str, Plain, Query(max_length=64, description="A level of the family.")]
_SeedText = Annotated[str, Plain, Query(max_length=64, description="Hex digits; each seed makes other items.")]
_Channel = Annotated[str, Plain, Query(max_length=64, description="symbol or story.")]
_Style = Annotated[str, Plain, Query(max_length=64, description="direct, cot, choice or free.")]
_Limit = Annotated[int, Query(ge=1, le=200, description="Most entries in an answer.")]
_Offset = Annotated[int, Query(ge=0, le=MAX_ID, description="Entries to skip.")]


@docs.api_route("/api", methods=READ)
def show_api_page(request: Request, site: SiteOf) -> HTMLResponse:
    """Show the documentation of the API."""
    paths = request.app.openapi()["paths"]
    calls = [(method.upper(), path, call) for path, methods in paths.items() for method, call in methods.items()]
    return page(site, "api", calls=calls)


@router.get("/suites")
def send_suites(site: SiteOf) -> list[SuiteOut]:
    """Return the suites in which models are ranked, those with most models first."""
    return [suite_out(pool) for pool in db_board.list_pools(site.db)]


@router.get("/board")
def send_board(site: SiteOf, response: Response, query: Annotated[BoardQuery, Query()]) -> BoardOut:
    """Return a page of the board: 100 ranks of one suite and style."""
    pools = db_board.list_pools(site.db)
    if not pools:
        raise NoSuchView("no model has finished a run yet")
    pool = choose_pool(query, pools)
    wanted = standings_filter(query, pool)
    found = db_board.list_standings(site.db, wanted, (query.page - 1) * MODELS_A_PAGE, MODELS_A_PAGE)
    pager = make_pager(query.page, found.total, MODELS_A_PAGE, lambda to: query.link(page=to))
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


def _counts(levels: LevelTable, row: BoardRow) -> dict[str, Counts]:
    scored = zip(levels.columns, row.levels, strict=True)
    return {column.level: Counts(k=one.counts.k, n=one.counts.n) for column, one in scored if one is not None}


@router.get("/models")
def send_models(
    site: SiteOf,
    response: Response,
    q: _Words = "",
    limit: _Limit = 100,
    offset: _Offset = 0,
) -> ModelList:
    """Return models whose names contain all words of q, by name."""
    models, total = db_board.list_models(site.db, q, limit, offset)
    _link_pages(response, "/api/v1/models", {"q": q} if q else {}, (limit, offset, total))
    return ModelList(total=total, models=[ModelOut(id=one.id, name=one.name) for one in models])


@router.get("/models/{name:path}")
def send_model(site: SiteOf, name: ModelPath) -> ModelWhole:
    """Return a model with its ranks and newest runs; ~ and a number can replace the name."""
    (model,) = db_board.find_models(site.db, [name])
    places = db_board.ranks_of_models(site.db, [model.id])[model.id]
    runs = read.runs_of_model(site.db, model.id)
    return ModelWhole(
        id=model.id, name=model.name, places=[place_out(one) for one in places], runs=[run_out(one) for one in runs]
    )


@router.get("/runs")
def send_runs(site: SiteOf, response: Response, limit: _Limit = 100, offset: _Offset = 0) -> RunList:
    """Return runs, newest first."""
    total = read.count_runs(site.db)
    _link_pages(response, "/api/v1/runs", {}, (limit, offset, total))
    return RunList(total=total, runs=[run_out(one) for one in read.list_runs(site.db, limit, offset)])


@router.get("/runs/{run}")
def send_run(site: SiteOf, run: RunPath) -> RunWhole:
    """Return a run with manifest, cells and scores."""
    detail = run_at(site.db, run)
    stored = db_board.get_result(site.db, detail.summary.run)
    return run_whole(detail, stored, measures_of(site, detail), cost_on_page(site, detail))


@router.get("/runs/{run}/samples")
def send_samples(
    site: SiteOf, response: Response, run: RunPath, cell: CellId = None, label: Label = None, correct: Correct = None,
    reading: ReadingName = None, limit: _Limit = 50, offset: _Offset = 0,
) -> SampleList:  # fmt: skip
    """Return samples of a run with their questions."""
    detail = run_at(site.db, run)
    query = SampleQuery(cell, label, None if correct is None else correct == "true", reading)
    check_query(detail, query)
    found = read.get_samples(site.db, detail, query.wanted, offset, limit)
    asked = {"cell": cell, "label": label, "correct": correct, "reading": reading}
    filters = {key: str(value) for key, value in asked.items() if value is not None}
    _link_pages(response, f"/api/v1/runs/{detail.summary.run}/samples", filters, (limit, offset, found.total))
    return SampleList(total=found.total, samples=[sample_out(one, detail) for one in found.samples])


@router.get("/runs/{run}/samples/{sample}")
def send_sample(site: SiteOf, run: RunPath, sample: SampleId) -> SampleOut:
    """Return one sample with its question."""
    detail = run_at(site.db, run)
    return sample_out(read.get_sample(site.db, detail, sample), detail)


@router.get("/compare")
def send_comparison(site: SiteOf, m: Models) -> CompareOut:
    """Compare two models on the largest suite that both have finished."""
    sides = open_sides(site.db, m)
    pairs = open_pairs(site.db, sides)
    return CompareOut(
        models=[side.model.name for side in sides], runs=[side.detail.summary.run for side in sides],
        paired=any(pair.n for pair in pairs), comparisons=[comparison_out(one) for one in compare(pairs)],
        answers=[answers_out(side.detail) for side in sides], cells=pair_rows(pairs),
    )  # fmt: skip


@router.get("/families")
def send_families() -> list[dict[str, Any]]:
    """Return all task families with levels, chance and budgets."""
    return families_json()


@router.get("/items/{family}")
def send_item(
    site: SiteOf, family: _FamilyName, level: _LevelName, seed: _SeedText, channel: _Channel = "symbol",
    style: _Style = "direct",
    index: Annotated[int, Query(ge=0, lt=10**18, description="Number of the item under its seed.")] = 0,
) -> ItemOut:  # fmt: skip
    """Generate one item from a seed: the question as a model sees it, and the right answer."""
    known = known_family_of(site.db, family[:80])
    return ItemOut(**item_row(known.name, level, channel, style, seed, index))


def _link_pages(response: Response, address: str, filters: dict[str, str], window: tuple[int, int, int]) -> None:
    """Link to the next and previous entries; `window` is (limit, offset, total)."""
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
