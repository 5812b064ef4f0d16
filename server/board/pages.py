"""Pages of the board: ranks, models, comparisons, runs and their samples."""

from collections.abc import Collection, Sequence
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from fathom.harness.db import read
from fathom.harness.db.leaderboard.read import find_models, get_revision, known_models
from fathom.harness.db.probes import count_probes
from fathom.harness.db.read import failures_of
from fathom.harness.errors import UnknownModel
from fathom.harness.records import RunDetail
from fathom.harness.reports.cost import cost_facts
from fathom.harness.reports.describe import advice_of, manifest_tables
from fathom.harness.reports.found import found_lines, main_rows
from fathom.harness.reports.measures import MEASURES_LEGEND, MEASURES_TEXT_COLUMNS, measures_table
from fathom.harness.reports.reproduce import reproduce
from fathom.harness.runs.run_settings import prompt_settings_of
from fathom.server.board.charts import MOST_LINES
from fathom.server.board.compare import open_comparison, open_items
from fathom.server.board.compare_many import open_many
from fathom.server.board.glossary import STYLE_MEANINGS
from fathom.server.board.leaderboard import BoardQuery, open_board
from fathom.server.board.models import open_model
from fathom.server.board.samples import (
    SAMPLES_A_PAGE,
    SampleQuery,
    check_query,
    cost_on_page,
    labels_of,
    measures_of,
    n_shots,
    run_at,
    show_sample,
    summary_at,
)
from fathom.server.board.scores import grouped, repeated
from fathom.server.web.addresses import (
    CellId,
    Correct,
    Label,
    ModelPath,
    Models,
    Only,
    PageNumber,
    ReadingName,
    RunPath,
    SampleId,
    StyleName,
    make_pager,
    own_address,
)
from fathom.server.web.render import READ, Site, SiteOf, cached_page, cached_run_page, fill, page

router = APIRouter(include_in_schema=False)

_RUNS = 50
SIZE_WORDS = {"tiny": "under 1B", "small": "1B to 4B", "medium": "4B to 15B", "large": "over 15B"}


@router.api_route("/", methods=READ)
def show_board(site: SiteOf, query: Annotated[BoardQuery, Query()]) -> HTMLResponse:
    """Show the ranks in one suite and style."""
    revision = get_revision(site.db)
    if revision == (0, 0):  # nothing is ranked yet; the page shows running runs
        return HTMLResponse(_board(site, query))
    return cached_page(site, ("board", query.model_dump_json(), *revision), lambda: _board(site, query))


def _board(site: Site, query: BoardQuery) -> str:
    board = open_board(site.db, query)
    n_runs = read.count_runs(site.db) if board is None else 0
    return fill(
        site, "board", board=board, query=query, size_words=SIZE_WORDS, style_meanings=STYLE_MEANINGS, n_runs=n_runs
    )


@router.api_route("/models/{name:path}", methods=READ)
def show_model(request: Request, site: SiteOf, name: ModelPath, run: str | None = None) -> HTMLResponse:
    """Show a model's ranks, and its accuracy by difficulty."""
    (model,) = find_models(site.db, [name])
    runs = read.runs_of_model(site.db, model.id)
    n_probes = count_probes(site.db, model.id)
    address = own_address(request)
    key = ("model", run, n_probes, address, *runs, *get_revision(site.db))
    return cached_page(
        site, key,
        lambda: fill(site, "model", page=open_model(site.db, model, runs, run, n_probes), address=address),
    )  # fmt: skip


@router.api_route("/compare", methods=READ)
def show_comparison(site: SiteOf, m: Models = (), style: StyleName = None) -> HTMLResponse:
    """Compare two models in detail, or up to six side by side; with fewer in the address, ask for them."""
    named = tuple(dict.fromkeys(one for one in m if one)) if len(m) > 2 else tuple(one for one in m if one)
    if len(named) < 2 or len(named) > MOST_LINES:
        return _choose(site, named)
    key = ("compare", *named, style, *get_revision(site.db))
    try:
        if len(named) > 2:
            return cached_page(site, key, lambda: fill(site, "compare_many", page=open_many(site.db, named, style)))
        return cached_page(site, key, lambda: fill(site, "compare", page=open_comparison(site.db, named, style)))
    except UnknownModel:
        return _choose(site, named, known_models(site.db, named).keys())


def _choose(site: Site, named: Sequence[str], known: Collection[str] | None = None) -> HTMLResponse:
    """Ask which models to compare, with those filled in that were named; `known` are those of them that exist."""
    unknown = [] if known is None else [one for one in named if one not in known]
    others = "?" + urlencode([("m", one) for one in named if one not in unknown])
    return page(
        site, "choose", 404 if unknown else 200, chosen=named, total=len(named), most=MOST_LINES, unknown=unknown,
        others=others if len(named) - len(unknown) > 1 else "",
    )  # fmt: skip


@router.api_route("/compare/items", methods=READ)
def show_differences(
    site: SiteOf, m: Models, cell: Annotated[str, Query(max_length=200)], only: Only = None, page_number: PageNumber = 1
) -> HTMLResponse:
    """Show the items of a cell that only one of two models got right, or neither."""
    return page(site, "items", page=open_items(site.db, m, cell, only, page_number))


@router.api_route("/runs", methods=READ)
def show_run_list(site: SiteOf, page_number: PageNumber = 1) -> HTMLResponse:
    """Show all runs, newest first."""
    total = read.count_runs(site.db)
    pager = make_pager(page_number, total, _RUNS, lambda to: f"?page={to}")
    runs = read.list_runs(site.db, _RUNS, (page_number - 1) * _RUNS)
    return page(site, "runs", runs=runs, pager=pager, n_runs=total)


@router.api_route("/runs/{run}", methods=READ)
def show_run_page(site: SiteOf, run: RunPath) -> HTMLResponse:
    """Show one run: counts, cells, manifest, and the command that repeats it."""
    summary = summary_at(site.db, run)
    return cached_run_page(site, summary, ("run",), lambda: _run(site, read.get_run(site.db, summary.run)))


def _run(site: Site, detail: RunDetail) -> str:
    return fill(
        site,
        "run",
        run=detail.summary,
        detail=detail,
        n_stored=read.count_samples(site.db, detail.summary.run),
        found=found_lines(main_rows(detail.cells)),
        groups=grouped(detail.cells),
        repeated=repeated(detail.cells),
        measured=measures_table(measures_of(site, detail)),
        measures_legend=MEASURES_LEGEND,
        measures_texts=MEASURES_TEXT_COLUMNS,
        parts_of_manifest=manifest_tables(detail.manifest),
        command=reproduce(detail),
        failed=_failed(site, detail),
        advice=advice_of(detail),
        cost=cost_facts(cost_on_page(site, detail)),
    )


def _failed(site: Site, detail: RunDetail) -> str:
    """Say how many requests of a finished run failed, and why; empty for other runs, and before a seed is revealed."""
    one = detail.summary
    if one.sealed or one.error or not any(cell.n_errors for cell in detail.cells):
        return ""
    return str(failures_of(site.db, one.run))


@router.api_route("/runs/{run}/samples", methods=READ)
def show_sample_list(
    site: SiteOf, run: RunPath, cell: CellId = None, label: Label = None, correct: Correct = None,
    reading: ReadingName = None, page_number: PageNumber = 1,
) -> HTMLResponse:  # fmt: skip
    """Show samples of a run, twenty a page."""
    summary = summary_at(site.db, run)
    query = SampleQuery(cell, label, None if correct is None else correct == "true", reading, page_number)
    return cached_run_page(site, summary, ("samples", query), lambda: _samples(site, summary.run, query))


def _samples(site: Site, run: str, query: SampleQuery) -> str:
    detail = read.get_run(site.db, run)
    check_query(detail, query)
    found = read.get_samples(site.db, detail, query.wanted, (query.page - 1) * SAMPLES_A_PAGE, SAMPLES_A_PAGE)
    asked = prompt_settings_of(detail.manifest)
    return fill(
        site,
        "samples",
        run=detail.summary,
        query=query,
        cells=detail.cells,
        labels=labels_of(detail.cells),
        pager=make_pager(query.page, found.total, SAMPLES_A_PAGE, query.link),
        samples=[show_sample(sample, asked) for sample in found.samples],
        stored=bool(found.total) or read.count_samples(site.db, detail.summary.run) > 0,
        n_shots=n_shots(detail),
    )


@router.api_route("/runs/{run}/samples/{sample}", methods=READ)
def show_sample_page(site: SiteOf, run: RunPath, sample: SampleId) -> HTMLResponse:
    """Show one sample in full."""
    detail = run_at(site.db, run)
    found = show_sample(read.get_sample(site.db, detail, sample), prompt_settings_of(detail.manifest), whole=True)
    return page(site, "sample", run=detail.summary, one=found, n_shots=n_shots(detail))


@router.api_route("/about", methods=READ)
def show_about(site: SiteOf) -> HTMLResponse:
    """Explain scores, ranks and what is stored."""
    return page(site, "about", style_meanings=STYLE_MEANINGS)
