"""Tables to download: ranks, comparisons and samples as CSV, JSON or Parquet."""

import io
import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.db.leaderboard.read import Standing
from fathom.harness.db.samples import stream_samples
from fathom.harness.io.tables import csv_lines, json_lines
from fathom.harness.reports.found import found_json
from fathom.harness.reports.frames import FlatRow, sample_row
from fathom.harness.runs.run_settings import prompt_settings_of
from fathom.harness.stats.paired import CellPair, mcnemar
from fathom.harness.stats.scores import rung_of
from fathom.server.board.compare import open_pairs, open_sides
from fathom.server.board.leaderboard import BoardQuery, BoardRow, by_level, choose_pool, standings_filter
from fathom.server.board.samples import SampleQuery, check_query, run_at
from fathom.server.web.addresses import CellId, Correct, Label, Models, ReadingName, RunPath, SampleFormat
from fathom.server.web.render import READ, SiteOf

router = APIRouter(include_in_schema=False)

_DownloadFormat = Literal["csv", "json", "parquet"]
SAMPLE_DOWNLOAD_COLUMNS = (
    "item", "style", "correct", "found", "label", "fault_at", "note", "parsed", "gold", "finish_reason", "completion",
    "candidate_scores", "prompt_tokens", "completion_tokens", "milliseconds", "error", "repeat", "question",
)  # fmt: skip

PAIR_COLUMNS = (
    "family", "version", "level", "channel", "style", "hardness", "chance",
    "k_first", "n_first", "k_second", "n_second",
    *(f"{name}_{side}" for side in ("first", "second") for name in ("n_asked", "n_unread", "n_cut")),
    "n_shared", "only_first", "only_second", "p",
)  # fmt: skip


def standing_columns(families: Sequence[str]) -> tuple[str, ...]:
    """Return the column names of the table of ranks."""
    scores = tuple(f"{family}{end}" for family in families for end in ("", "_half"))
    return (
        "rank", "rank_low", "rank_high", "tie", "model", "kind", "n_parameters", "dtype", "engine", "tier", "season",
        "date", "seed", "run", "prompt_format", "n_missing", "score", "score_half", "depth",
        *scores,
    )  # fmt: skip


def _standing_row(one: Standing, families: Sequence[str]) -> FlatRow:
    """Return a rank as one row; scores are corrected for chance, halves those of 95% intervals."""
    row: FlatRow = {
        "rank": one.rank, "rank_low": one.rank_low, "rank_high": one.rank_high, "tie": one.tie,
        "model": one.model.name, "kind": one.kind, "n_parameters": one.n_parameters, "dtype": one.dtype,
        "engine": one.engine, "tier": one.tier, "season": one.season, "date": one.date,
        "seed": one.seed, "run": one.run, "prompt_format": one.prompt_format, "n_missing": one.n_missing,
        "score": one.score.value, "score_half": (one.score.interval.high - one.score.interval.low) / 2,
        "depth": one.depth,
    }  # fmt: skip
    for family in families:
        score = one.families.get(family)
        row[family] = None if score is None else score.value
        row[f"{family}_half"] = None if score is None else (score.interval.high - score.interval.low) / 2
    return row


def _level_columns(levels: Sequence[str]) -> tuple[str, ...]:
    """Return the column names of one family by level."""
    return (*standing_columns(()), *(f"{level}_{count}" for level in levels for count in ("k", "n")))


def _level_row(row: BoardRow, levels: Sequence[str]) -> FlatRow:
    """Return a model's counts by level; None where it was not asked."""
    found = _standing_row(row.standing, ())
    for level, score in zip(levels, row.levels, strict=True):
        found[f"{level}_k"], found[f"{level}_n"] = (score.counts.k, score.counts.n) if score else (None, None)
    return found


def pair_rows(pairs: Iterable[CellPair]) -> list[FlatRow]:
    """Return the cells that two runs share, one row each; p is McNemar's, not corrected."""
    return [
        {
            **{axis: getattr(pair.first, axis) for axis in PAIR_COLUMNS[:5]},
            "hardness": rung.hardness if (rung := rung_of(pair.first)) else None,
            "chance": rung.chance if rung else None,
            "k_first": pair.first.k,
            "n_first": pair.first.n,
            "k_second": pair.second.k,
            "n_second": pair.second.n,
            **{f"{name}_first": n for name, n in found_json(pair.first.found).items()},
            **{f"{name}_second": n for name, n in found_json(pair.second.found).items()},
            "n_shared": pair.n,
            "only_first": pair.only_first,
            "only_second": pair.only_second,
            "p": mcnemar(pair.only_first, pair.only_second) if pair.n else None,
        }
        for pair in pairs
    ]


@router.api_route("/board.{kind}", methods=READ)
def download_board(site: SiteOf, kind: _DownloadFormat, query: Annotated[BoardQuery, Query()]) -> Response:
    """Send the ranks of a query as one file, all pages of them."""
    pools = db_board.list_pools(site.db)
    if not pools:
        return _download([], standing_columns(()), kind, "fathom-board")
    pool = choose_pool(query, pools)
    wanted = standings_filter(query, pool)
    families = [family for family in pool.asked[wanted.style] if not query.columns or family in query.columns]
    name = f"fathom-{pool.id}-{wanted.style}"
    standings = db_board.list_standings(site.db, wanted).standings
    if query.family is None:
        rows = [_standing_row(one, families) for one in standings]
        return _download(rows, standing_columns(families), kind, name)
    found, lines = by_level(site.db, query, wanted.style, standings)
    levels = [column.level for column in found.columns]
    counts = [_level_row(line, levels) for line in lines]
    return _download(counts, _level_columns(levels), kind, f"{name}-{found.group.family}-{found.group.channel}")


@router.api_route("/compare.{kind}", methods=READ)
def download_comparison(site: SiteOf, kind: _DownloadFormat, m: Models) -> Response:
    """Send the cells that two models share as one file."""
    return _download(pair_rows(open_pairs(site.db, open_sides(site.db, m))), PAIR_COLUMNS, kind, "fathom-comparison")


@router.api_route("/runs/{run}/samples.{kind}", methods=READ)
def download_samples(
    site: SiteOf, run: RunPath, kind: SampleFormat, cell: CellId = None, label: Label = None, correct: Correct = None,
    reading: ReadingName = None,
) -> Response:  # fmt: skip
    """Stream a run's samples with their questions as one file."""
    detail = run_at(site.db, run)
    query = SampleQuery(cell, label, None if correct is None else correct == "true", reading)
    check_query(detail, query)
    asked = prompt_settings_of(detail.manifest)
    rows = (sample_row(one, asked, SAMPLE_DOWNLOAD_COLUMNS) for one in stream_samples(site.db, detail, query.wanted))
    return _stream(rows, SAMPLE_DOWNLOAD_COLUMNS, kind, f"fathom-samples-{detail.summary.run}")


_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}


def _download(rows: Sequence[FlatRow], columns: Sequence[str], kind: _DownloadFormat, name: str) -> Response:
    """Return a table as a file; the columns are named even without rows."""
    if kind == "json":
        body: str | bytes = json.dumps([dict(row) for row in rows], ensure_ascii=False, indent=1)
    elif kind == "csv":
        body = "".join(csv_lines(rows, columns))
    else:
        body = _parquet(rows, columns)
    return Response(body, media_type=_TYPES[kind], headers=_headers(f"{name}.{kind}"))


def _stream(rows: Iterable[FlatRow], columns: Sequence[str], kind: Literal["csv", "jsonl"], name: str) -> Response:
    """Return a table of any length as a stream."""
    lines = csv_lines(rows, columns) if kind == "csv" else json_lines(rows)
    return StreamingResponse(lines, media_type=_TYPES[kind], headers=_headers(f"{name}.{kind}"))


def _headers(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}  # only our own words and hex digits


def _parquet(rows: Sequence[FlatRow], columns: Sequence[str]) -> bytes:
    import pyarrow as pa  # half a second to import, needed for this format only
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(pa.table({column: pa.array([row[column] for row in rows]) for column in columns}), buffer)
    return buffer.getvalue()
