"""Read a cell's samples in order, whatever their number, in constant memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Row, Select, func, select
from sqlalchemy.orm import Session

from harness.db.engine import translate_errors
from harness.db.models import CellRow, RunRow, SampleRow
from harness.engines.base import Completion, FinishReason

_AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class Journaled:
    """One completion as it is stored, without its verdict."""

    index: int
    repeat: int
    completion: str
    finish_reason: str
    scores: list[float] | None
    prompt_tokens: int
    completion_tokens: int
    milliseconds: int


_COLUMNS = (
    SampleRow.index, SampleRow.repeat, SampleRow.completion, SampleRow.finish_reason, SampleRow.scores,
    SampleRow.prompt_tokens, SampleRow.completion_tokens, SampleRow.milliseconds,
)  # fmt: skip


def in_order(db: Engine, wanted: Select[*tuple[Any, ...]]) -> Iterator[Row[*tuple[Any, ...]]]:
    """Yield rows of samples of one cell by index and repeat, which must be among the columns that `wanted` selects.

    No statement stays open between two batches.
    """
    after = (-1, 0)
    while some := _after(db, wanted, after):
        yield from some
        last = some[-1]._mapping
        after = (last[SampleRow.index], last[SampleRow.repeat])


def _after(db: Engine, wanted: Select[*tuple[Any, ...]], after: tuple[int, int]) -> Sequence[Row[*tuple[Any, ...]]]:
    index, repeat = after
    later = (SampleRow.index > index) | ((SampleRow.index == index) & (SampleRow.repeat > repeat))
    with translate_errors(), Session(db) as session:
        ordered = wanted.where(later).order_by(SampleRow.index, SampleRow.repeat)
        return session.execute(ordered.limit(_AT_A_TIME)).all()


def stream_journal(db: Engine, cell: int) -> Iterator[Journaled]:
    """Yield the completions of a cell by index and repeat."""
    return (Journaled(*row) for row in in_order(db, select(*_COLUMNS).where(SampleRow.cell_id == cell)))


@dataclass(frozen=True, slots=True)
class Weights:
    """What a run knows of its model's files."""

    n_parameters: int | None
    kind: str | None
    dtype: str | None


def weights_of(db: Engine, run: str) -> Weights:
    """Return what is known of the files behind a run, by its whole id."""
    with translate_errors(), Session(db) as session:
        row = session.execute(select(RunRow.n_parameters, RunRow.kind, RunRow.dtype).where(RunRow.id == run)).one()
        return Weights(*row)


def count_kept(db: Engine, run: str) -> dict[int, int]:
    """Return how many completions of a run need not be generated again, by the number of their cell."""
    with translate_errors(), Session(db) as session:
        rows = session.execute(
            select(SampleRow.cell_id, func.count().label("n"))
            .join(CellRow, CellRow.id == SampleRow.cell_id)
            .where(CellRow.run_id == run, SampleRow.finish_reason != "error")
            .group_by(SampleRow.cell_id)
        )
        return {row.cell_id: row.n for row in rows}


def journaled(db: Engine, cell: int, start: int, stop: int) -> dict[str, Completion]:
    """Return the completions to items start to stop of a cell that need not be generated again, by key."""
    with translate_errors(), Session(db) as session:
        rows = session.execute(
            select(
                SampleRow.key, SampleRow.completion, SampleRow.finish_reason, SampleRow.prompt_tokens,
                SampleRow.completion_tokens, SampleRow.milliseconds, SampleRow.scores,
            ).where(
                SampleRow.cell_id == cell, SampleRow.index >= start, SampleRow.index < stop,
                SampleRow.finish_reason != "error",
            )
        )  # fmt: skip
        return {row[0]: _completion(row) for row in rows}


def _completion(row: Sequence[Any]) -> Completion:  # a row of journaled()
    key, text, reason, prompt_tokens, tokens, milliseconds, scores = row
    finish: FinishReason = reason
    return Completion(
        key, text, finish, prompt_tokens, tokens, milliseconds / 1000, None if scores is None else tuple(scores)
    )
