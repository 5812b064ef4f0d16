"""Requests of a run that the engine failed on, and their reasons."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Engine, func, select
from sqlalchemy.orm import Session

from fathom.harness.db.engine import translate_errors
from fathom.harness.db.schema.runs import CellRow, SampleRow
from fathom.harness.db.schema.task_samples import TaskSampleRow
from fathom.harness.format import count, plural

_TEXTS = 1000
"""Different errors that are read, the most frequent ones."""
_LISTED = 20
_LONGEST = 500


@dataclass(frozen=True, slots=True)
class Failures:
    """Failed requests of a run, by reason; errors that differ in numbers only are one reason."""

    n_samples: int
    n_failed: int
    reasons: tuple[tuple[str, int], ...]
    """An example of each reason, and how often it occurred; the most frequent first."""

    @property
    def is_total(self) -> bool:
        """Whether no request at all was answered."""
        return self.n_failed == self.n_samples > 0

    def __str__(self) -> str:
        """Say how many failed, and the most frequent reason; empty where none did."""
        if not self.n_failed:
            return ""
        reason, n = self.reasons[0] if self.reasons else ("no reason given", self.n_failed)
        how_often = "each time" if n == self.n_failed else f"{plural(n, 'time')}"
        said = f"{count(self.n_failed)} of {plural(self.n_samples, 'request')} failed, {how_often} with: {reason}"
        return f"no request was answered: {said}" if self.is_total else said

    def log(self) -> str:
        """List the reasons, one a line."""
        return "\n".join(f"{count(n)} x {reason}" for reason, n in self.reasons[:_LISTED])


def failures_of(db: Engine, run: str) -> Failures:
    """Return the failed requests of a run of either kind, by its whole id."""
    with translate_errors(), Session(db) as session:
        return _read(session, run)


def total_failure(db: Engine, run: str) -> Failures | None:
    """Return the failed requests of a run that has samples and no answer, else None, after a look at one sample."""
    with translate_errors(), Session(db) as session:
        return total_failure_in(session, run)


def total_failure_in(session: Session, run: str) -> Failures | None:
    """Return the same in the caller's transaction; see `total_failure`."""
    if any(
        session.execute(select(table.finish_reason).where(same, table.finish_reason != "error").limit(1)).first()
        for table, same in _samples_of(run)
    ):
        return None
    failures = _read(session, run)
    return failures if failures.is_total else None


def _samples_of(run: str) -> tuple[tuple[type[SampleRow] | type[TaskSampleRow], ColumnElement[bool]], ...]:
    """Return the tables that hold samples of a run of either kind, with the condition that picks them."""
    of_run = SampleRow.cell_id.in_(select(CellRow.id).where(CellRow.run_id == run).scalar_subquery())
    return (SampleRow, of_run), (TaskSampleRow, TaskSampleRow.run_id == run)


def _read(session: Session, run: str) -> Failures:
    n_samples, failed = 0, Counter[str]()
    for table, same in _samples_of(run):
        n_samples += session.execute(select(func.count()).select_from(table).where(same)).scalar_one()
        n = func.count()
        texts = select(table.error, n).where(same, table.finish_reason == "error").group_by(table.error)
        for text, times in session.execute(texts.order_by(n.desc(), table.error).limit(_TEXTS)):
            failed[text or "no reason given"] += times
    return Failures(n_samples, sum(failed.values()), tuple(_merged(failed.most_common())))


def _merged(errors: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Join errors that differ in numbers only, as the length of a prompt; keep the first text of each."""
    found: dict[str, tuple[str, int]] = {}
    for text, n in errors:
        kind = re.sub(r"\d+", "0", text[:_LONGEST])
        example, before = found.get(kind, (text[:_LONGEST], 0))
        found[kind] = (example, before + n)
    return sorted(found.values(), key=lambda one: -one[1])
