"""Turn requests into pages: the board, a run, its samples, and how all of it is made."""

import re
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, PlainTextResponse
from pydantic import BeforeValidator, Field

from harness.db import read
from harness.errors import UnknownRun
from server.board import make_board
from server.overview import make_overviews
from server.render import Site, SiteOf, page
from server.runs import manifest_facts, n_shots, reproduce_command
from server.samples import LONGEST_LABEL, PAGE, check_query, labels_of, pager, show
from server.samples import Query as SampleQuery
from server.scores import grouped

router = APIRouter()

_READ = ["GET", "HEAD"]
_RECENT = 20
_RUN = re.compile(r"[0-9a-f]{1,32}")
_LARGEST = 2**31 - 1


def _blank_is_none(value: str | None) -> str | None:
    return value or None


_OPEN = BeforeValidator(_blank_is_none)  # a form sends the fields that were left open as empty texts
Cell = Annotated[Annotated[int, Field(ge=0, le=_LARGEST)] | None, _OPEN, Query()]
Label = Annotated[Annotated[str, Field(max_length=LONGEST_LABEL)] | None, _OPEN, Query()]
Correct = Annotated[Literal["true", "false"] | None, _OPEN, Query()]
Page = Annotated[int, Query(alias="page", ge=1, le=1_000_000)]


@router.api_route("/", methods=_READ)
def show_board(site: SiteOf) -> HTMLResponse:
    """Show all models by family and level, and the newest runs."""
    chosen = read.board_runs(site.db)
    cells = read.cells_of_runs(site.db, [one.run for one in chosen])
    return page(
        site,
        "board",
        overviews=make_overviews(chosen, cells),
        sections=make_board(chosen, cells),
        recent=read.list_runs(site.db, _RECENT),
    )


@router.api_route("/runs/{run}", methods=_READ)
def show_run(site: SiteOf, run: str) -> HTMLResponse:
    """Show one run: counts, cells, manifest, and how to do it again."""
    detail = _find(site, run)
    return page(
        site,
        "run",
        run=detail.summary,
        detail=detail,
        n_stored=read.count_samples(site.db, detail.summary.run),
        groups=grouped(detail.cells),
        parts_of_manifest=manifest_facts(detail.manifest),
        command=reproduce_command(detail),
    )


@router.api_route("/runs/{run}/samples", methods=_READ)
def show_samples(
    site: SiteOf, run: str, cell: Cell = None, label: Label = None, correct: Correct = None, page_number: Page = 1
) -> HTMLResponse:
    """Show samples of a run, fifty a page."""
    detail = _find(site, run)
    query = SampleQuery(cell, label, None if correct is None else correct == "true", page_number)
    check_query(detail, query)
    found = read.get_samples(site.db, detail, query.wanted, (query.page - 1) * PAGE, PAGE)
    return page(
        site,
        "samples",
        run=detail.summary,
        query=query,
        cells=detail.cells,
        labels=labels_of(detail.cells),
        pager=pager(query, found.total),
        samples=[show(sample) for sample in found.samples],
        n_shots=n_shots(detail),
    )


@router.api_route("/about", methods=_READ)
def show_about(site: SiteOf) -> HTMLResponse:
    """Say how scores are made, what ranks mean, and what is stored."""
    return page(site, "about")


@router.api_route("/healthz", methods=_READ)
def show_health() -> PlainTextResponse:
    """Say that the server answers."""
    return PlainTextResponse("ok")


def _find(site: Site, run: str) -> read.RunDetail:
    if not _RUN.fullmatch(run):  # what cannot be an id never reaches the database
        raise UnknownRun(f"no run {run[:40]!r}: the board lists them")
    return read.get_run(site.db, run)
