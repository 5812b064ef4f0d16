"""Grade stored completions again with this version's graders; no model is needed."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from sqlalchemy import Engine

from fathom.harness.db.find import shown_run
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.samples import ChangedVerdict, as_stored, store_verdicts, stream_stored
from fathom.harness.errors import Conflict
from fathom.harness.records import RunDetail
from fathom.harness.runs.manifest import fathom_commit
from fathom.harness.runs.requests import AnswerReader, answer_reader, grade_completion
from fathom.harness.runs.run_settings import RunSettings, settings_of
from fathom.tasks.base import Verdict
from fathom.tasks.errors import UnknownFamily
from fathom.tasks.registry import find_family
from fathom.tasks.suites import SuiteCell, item_at

_IN_MEMORY = 8 << 20
"""Bytes of changed verdicts in memory; more are written to a temporary file."""

_Tell = Callable[[int], None]
"""Called with the number of completions graded so far."""


@dataclass(frozen=True, slots=True)
class VerdictChange:
    """A kind of change: the labels before and after."""

    family: str
    before: str
    after: str
    """Equal to `before` where only the parsed answer, the position or the note changed."""


@dataclass(slots=True)
class RegradeReport:
    """Counts of a regraded run."""

    run: str
    n_judged: int = 0
    n_right_before: int = 0
    n_right_after: int = 0
    n_found: int = 0
    """Samples whose verdict stays, and of which the way their answer was found is stored now, or is another."""
    shifts: Counter[VerdictChange] = field(default_factory=Counter)
    skipped: dict[str, int] = field(default_factory=dict)
    """Samples that were not graded again, by reason."""

    @property
    def n_changed(self) -> int:
        """Number of changed verdicts."""
        return sum(self.shifts.values())


def regrade(db: Engine, run: str, *, dry: bool = False, tell: _Tell = lambda _: None) -> RegradeReport:
    """Grade a run's stored completions again; store the changes in one transaction, unless `dry` is given.

    If this is interrupted, nothing is changed. Samples are graded first, in constant memory.

    Raises:
        UnknownRun: no such run on a suite.
        SealedRun: its season has not revealed the seed.
        Conflict: it is running.
    """
    detail = shown_run(db, run)
    if detail.summary.is_going:
        raise Conflict(
            f"run {detail.summary.run} is running, or was killed: wait for its end, or resume it "
            f"(`fathom run --resume {detail.summary.run}`), then regrade it"
        )
    found = RegradeReport(detail.summary.run)
    with SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="utf-8") as spool:
        for change in _changes(db, detail, found, tell):
            spool.write(json.dumps([change.id, asdict(change.verdict)]) + "\n")
        if not dry:
            spool.seek(0)
            store_verdicts(db, detail.summary, _read(spool), _note(found))
            update_leaderboard(db)
    return found


def _read(spool: IO[str]) -> Iterator[ChangedVerdict]:
    for line in spool:
        number, verdict = json.loads(line)
        yield ChangedVerdict(number, Verdict(**verdict))


def _changes(db: Engine, detail: RunDetail, found: RegradeReport, tell: _Tell) -> Iterator[ChangedVerdict]:
    settings = settings_of(detail.manifest) or RunSettings()
    for planned, counted in zip(detail.suite.cells, detail.cells, strict=True):
        if why := _unmakeable(planned):
            found.skipped[why] = found.skipped.get(why, 0) + counted.n + counted.n_errors
            continue
        work = _Work(planned, counted.id, detail.suite.seed, answer_reader(planned.style, settings))
        yield from _changes_of(db, work, found)
        tell(found.n_judged)


def _unmakeable(cell: SuiteCell) -> str:
    """Return why a cell's items cannot be made again; empty if they can."""
    try:
        now = find_family(cell.family).version
    except UnknownFamily:
        return f"{cell.family}: this family no longer exists"
    if now != cell.version:
        return f"{cell.family}@{cell.version}: this Fathom makes {cell.family}@{now}, which has other items"
    return ""


@dataclass(frozen=True, slots=True)
class _Work:
    """A cell whose samples are graded, and the reader of its answers."""

    cell: SuiteCell
    id: int
    seed: str
    reading: AnswerReader


def _changes_of(db: Engine, work: _Work, found: RegradeReport) -> Iterator[ChangedVerdict]:
    for one in stream_stored(db, work.id):
        item = item_at(work.cell, work.seed, one.index)
        now = as_stored(grade_completion(item, one.completion, work.reading.answer(one.completion)))
        found.n_judged += 1
        found.n_right_before += one.verdict.correct
        found.n_right_after += now.correct
        if replace(now, found=one.verdict.found) != one.verdict:
            found.shifts[VerdictChange(work.cell.family, one.verdict.label, now.label)] += 1
        elif now.found != one.verdict.found or not one.knows_found:
            found.n_found += 1
        else:
            continue
        yield ChangedVerdict(one.id, now)


def _note(found: RegradeReport) -> dict[str, Any]:  # JSON values
    """Return when and by which code a run was graded again, for its manifest."""
    return {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "fathom": {"version": version("fathom"), "commit": fathom_commit()},
        "n_judged": found.n_judged,
        "n_right": {"before": found.n_right_before, "after": found.n_right_after},
        "changed": [
            {**asdict(shift), "n": n} for shift, n in sorted(found.shifts.items(), key=lambda row: -row[1])
        ],
        "n_found": found.n_found,
        "skipped": dict(found.skipped),
    }  # fmt: skip
