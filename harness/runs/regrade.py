"""Turn stored completions into verdicts again, as today's graders judge them; no model is needed."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from sqlalchemy import Engine

from fathom.harness.db.find import shown_run
from fathom.harness.db.leaderboard.standings import update_leaderboard
from fathom.harness.db.samples import ChangedVerdict, as_stored, store_verdicts, stream_stored
from fathom.harness.errors import Conflict
from fathom.harness.records import RunDetail
from fathom.harness.runs.grading import AnswerReader, answer_reader, grade_completion
from fathom.harness.runs.manifest import fathom_commit
from fathom.harness.runs.run_settings import RunSettings, settings_of
from fathom.tasks.base import Verdict
from fathom.tasks.errors import UnknownFamily
from fathom.tasks.registry import find_family
from fathom.tasks.suites import SuiteCell, item_at

_IN_MEMORY = 8 << 20
"""Bytes of changed verdicts above which they wait in a file."""

Tell = Callable[[int], None]
"""Called with the number of completions judged so far."""


@dataclass(frozen=True, slots=True)
class Shift:
    """One way in which verdicts changed."""

    family: str
    before: str
    after: str
    """Labels; equal where only the parsed answer, the place or the note is another."""


@dataclass(slots=True)
class Regraded:
    """What judging a run again came to."""

    run: str
    n_judged: int = 0
    n_right_before: int = 0
    n_right_after: int = 0
    shifts: Counter[Shift] = field(default_factory=Counter)
    skipped: dict[str, int] = field(default_factory=dict)
    """Samples that were left as they are, by why."""

    @property
    def n_changed(self) -> int:
        """Verdicts that are not what they were."""
        return sum(self.shifts.values())


def regrade(db: Engine, run: str, *, dry: bool = False, tell: Tell = lambda _: None) -> Regraded:
    """Judge a run's stored completions again; what changed is stored in one transaction, unless it is a `dry` run.

    Where it is cut off, the run is as before. Every sample is read and judged first, in constant memory.

    Raises:
        UnknownRun: no such run.
        SealedRun: its items may not be made yet.
        Conflict: it is going on.
    """
    detail = shown_run(db, run)
    if detail.summary.state == "running":
        raise Conflict(
            f"run {detail.summary.run} is going on, or was killed: let it end, or go on with it "
            f"(`fathom run --resume {detail.summary.run}`), then regrade it"
        )
    found = Regraded(detail.summary.run)
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


def _changes(db: Engine, detail: RunDetail, found: Regraded, tell: Tell) -> Iterator[ChangedVerdict]:
    settings = settings_of(detail.manifest) or RunSettings()
    for planned, counted in zip(detail.suite.cells, detail.cells, strict=True):
        if why := _unmakeable(planned):
            found.skipped[why] = found.skipped.get(why, 0) + counted.n + counted.n_errors
            continue
        work = _Work(planned, counted.id, detail.suite.seed, answer_reader(planned.style, settings))
        yield from _changes_of(db, work, found)
        tell(found.n_judged)


def _unmakeable(cell: SuiteCell) -> str:
    """Say why a cell's items cannot be made again, or nothing."""
    try:
        now = find_family(cell.family).version
    except UnknownFamily:
        return f"{cell.family}: there is no such family any more"
    if now != cell.version:
        return f"{cell.family}@{cell.version}: this Fathom makes {cell.family}@{now}, whose items are others"
    return ""


@dataclass(frozen=True, slots=True)
class _Work:
    """A cell whose samples are to be judged, and how its answers are read."""

    cell: SuiteCell
    id: int
    seed: str
    reading: AnswerReader


def _changes_of(db: Engine, work: _Work, found: Regraded) -> Iterator[ChangedVerdict]:
    for one in stream_stored(db, work.id):
        item = item_at(work.cell, work.seed, one.index)
        now = as_stored(grade_completion(item, one.completion, work.reading.answer(one.completion)))
        found.n_judged += 1
        found.n_right_before += one.verdict.correct
        found.n_right_after += now.correct
        if now != one.verdict:
            found.shifts[Shift(work.cell.family, one.verdict.label, now.label)] += 1
            yield ChangedVerdict(one.id, now)


def _note(found: Regraded) -> dict[str, Any]:  # JSON values
    """Say when and by which code a run was judged again, for its manifest."""
    return {
        "at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "fathom": {"version": version("fathom"), "commit": fathom_commit()},
        "n_judged": found.n_judged,
        "n_right": {"before": found.n_right_before, "after": found.n_right_after},
        "changed": [
            {**asdict(shift), "n": n} for shift, n in sorted(found.shifts.items(), key=lambda row: -row[1])
        ],
        "skipped": dict(found.skipped),
    }  # fmt: skip
