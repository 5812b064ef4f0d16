"""Turn requests for files into tables: the board, a comparison, a run's samples."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from harness.db import board as db_board
from harness.db.samples import stream_samples
from server.board import by_level
from server.compare import open_pairs, open_sides
from server.export import Format, download, stream
from server.fields import CellId, Correct, Label, Models, RunPath, SampleFormat
from server.query import BoardQuery, choose_pool, wanted_of
from server.render import READ, SiteOf
from server.runs import find_run
from server.samples import Query as SampleQuery
from server.samples import check_query
from server.tables import (
    CELL_COLUMNS,
    SAMPLE_COLUMNS,
    cell_rows,
    level_columns,
    level_row,
    sample_rows,
    standing_columns,
    standing_row,
)

router = APIRouter(include_in_schema=False)


@router.api_route("/board.{kind}", methods=READ)
def download_board(site: SiteOf, kind: Format, query: Annotated[BoardQuery, Query()]) -> Response:
    """Send all pages of the board that a query asks for as one file."""
    pools = db_board.list_pools(site.db)
    if not pools:
        return download([], standing_columns(()), kind, "fathom-board")
    pool = choose_pool(query, pools)
    wanted = wanted_of(query, pool)
    families = [family for family in pool.asked[wanted.style] if not query.columns or family in query.columns]
    name = f"fathom-{pool.id}-{wanted.style}"
    standings = db_board.list_standings(site.db, wanted).standings
    if query.family is None:
        rows = [standing_row(one, families) for one in standings]
        return download(rows, standing_columns(families), kind, name)
    found, lines = by_level(site.db, query, wanted.style, standings)
    levels = [column.level for column in found.columns]
    counts = [level_row(line, levels) for line in lines]
    return download(counts, level_columns(levels), kind, f"{name}-{found.group.family}-{found.group.channel}")


@router.api_route("/compare.{kind}", methods=READ)
def download_comparison(site: SiteOf, kind: Format, m: Models) -> Response:
    """Send the cells that two models share as one file."""
    return download(cell_rows(open_pairs(site.db, open_sides(site.db, m))), CELL_COLUMNS, kind, "fathom-comparison")


@router.api_route("/runs/{run}/samples.{kind}", methods=READ)
def download_samples(
    site: SiteOf, run: RunPath, kind: SampleFormat, cell: CellId = None, label: Label = None, correct: Correct = None
) -> Response:
    """Send a run's samples with their questions as one file, written as it is read."""
    detail = find_run(site.db, run)
    query = SampleQuery(cell, label, None if correct is None else correct == "true")
    check_query(detail, query)
    rows = sample_rows(stream_samples(site.db, detail, query.wanted))
    return stream(rows, SAMPLE_COLUMNS, kind, f"fathom-samples-{detail.summary.run}")
