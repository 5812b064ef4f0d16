"""Read runs of stock lm-eval tasks: frozen rows, and their samples as lm-eval logs them."""

import datetime as dt
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from fathom.harness.db.engine import translate_errors
from fathom.harness.db.schema.task_runs import TaskDocRow, TaskRunRow, TaskSampleRow
from fathom.harness.errors import UnknownRun

_HEX = re.compile(r"[0-9a-f]{1,32}")
_AT_A_TIME = 200


@dataclass(frozen=True, slots=True)
class TaskRunSummary:
    """One line of the list of such runs."""

    run: str
    model: str
    engine: str
    tasks: tuple[str, ...]
    state: str
    n_requests: int
    n_done: int
    n_generated: int
    attempts: int
    seconds: int
    created_at: dt.datetime
    error: str | None


@dataclass(frozen=True, slots=True)
class TaskRunDetail:
    """Such a run with all that decides its numbers."""

    summary: TaskRunSummary
    settings: Mapping[str, Any]
    manifest: Mapping[str, Any]
    manifest_digest: str
    results: Mapping[str, Any] | None
    """What lm-eval's `evaluate` returned, without its samples."""
    log: str | None
    n_by_reason: Mapping[str, int]
    """Requests by finish reason."""


_SUMMARY = (
    TaskRunRow.id, TaskRunRow.model, TaskRunRow.engine, TaskRunRow.tasks, TaskRunRow.state, TaskRunRow.n_requests,
    TaskRunRow.n_done, TaskRunRow.n_generated, TaskRunRow.attempts, TaskRunRow.seconds, TaskRunRow.created_at,
    TaskRunRow.error,
)  # fmt: skip


def _summary(row: Sequence[Any]) -> TaskRunSummary:  # a row of _SUMMARY
    run, model, engine, tasks, *rest = row
    return TaskRunSummary(run, model, engine, tuple(tasks), *rest)


def list_task_runs(db: Engine, limit: int = 1000) -> tuple[TaskRunSummary, ...]:
    """Return the newest runs of stock tasks, newest first."""
    newest = select(*_SUMMARY).order_by(TaskRunRow.created_at.desc(), TaskRunRow.id).limit(limit)
    with translate_errors(), Session(db) as session:
        return tuple(_summary(row) for row in session.execute(newest))


def get_task_run(db: Engine, run: str) -> TaskRunDetail:
    """Return a run of stock tasks by its id or a beginning of it that is unique.

    Raises:
        UnknownRun: no such run begins so, or several do.
    """
    start = run.lower()
    near = select(*_SUMMARY).where(TaskRunRow.id >= start, TaskRunRow.id < start + "g").limit(2)
    with translate_errors(), Session(db) as session:
        rows = session.execute(near).all() if _HEX.fullmatch(start) else []
        if len(rows) != 1:
            what = "no run" if not rows else "more than one run"
            raise UnknownRun(f"{what} begins with {run[:40]!r}: `fathom runs` lists them")
        row = session.get_one(TaskRunRow, rows[0][0])
        counted = (
            select(TaskSampleRow.finish_reason, func.count())
            .where(TaskSampleRow.run_id == row.id)
            .group_by(TaskSampleRow.finish_reason)
            .order_by(TaskSampleRow.finish_reason)
        )
        reasons = {row[0]: row[1] for row in session.execute(counted)}
        return TaskRunDetail(
            _summary(rows[0]), row.settings, row.manifest, row.manifest_digest, row.results, row.log, reasons
        )


def find_task_run(db: Engine, run: str) -> TaskRunDetail | None:
    """Return the same, or None where no such run, or more than one, begins so."""
    with suppress(UnknownRun):
        return get_task_run(db, run)
    return None


def count_by_task(db: Engine, run: str) -> dict[str, int]:
    """Return how many requests of a run are answered, by task."""
    counted = select(TaskSampleRow.task, func.count()).where(TaskSampleRow.run_id == run).group_by(TaskSampleRow.task)
    with translate_errors(), Session(db) as session:
        return {row[0]: row[1] for row in session.execute(counted)}


def stream_task_samples(db: Engine, run: str, task: str) -> Iterator[dict[str, Any]]:
    """Yield a task's documents as lm-eval logs them in samples_TASK.jsonl, one entry a document and filter.

    Takes a run's whole id. Documents that were left out, because a prompt did not fit, are not among them.
    """
    after = -1
    while some := _documents(db, run, task, after):
        after = some[-1].doc_id
        requests = _requests(db, run, task, some[0].doc_id, after)
        for row in some:
            yield from _logged(row, requests.get(row.doc_id, ()))


def _documents(db: Engine, run: str, task: str, after: int) -> Sequence[TaskDocRow]:
    same = (TaskDocRow.run_id == run, TaskDocRow.task == task, TaskDocRow.doc_id > after)
    with translate_errors(), Session(db) as session:
        return session.scalars(select(TaskDocRow).where(*same).order_by(TaskDocRow.doc_id).limit(_AT_A_TIME)).all()


def _requests(db: Engine, run: str, task: str, first: int, last: int) -> Mapping[int, list[TaskSampleRow]]:
    same = (TaskSampleRow.run_id == run, TaskSampleRow.task == task, TaskSampleRow.doc_id.between(first, last))
    wanted = select(TaskSampleRow).where(*same)
    found: dict[int, list[TaskSampleRow]] = {}
    with translate_errors(), Session(db) as session:
        ordered = wanted.order_by(TaskSampleRow.doc_id, TaskSampleRow.index, TaskSampleRow.repeat)
        for row in session.scalars(ordered):
            found.setdefault(row.doc_id, []).append(row)
    return found


def _logged(row: TaskDocRow, requests: Sequence[TaskSampleRow]) -> Iterator[dict[str, Any]]:
    arguments: dict[int, dict[str, Any]] = {}
    answers: dict[int, list[Any]] = {}
    for request in requests:
        for at, (words, answer) in enumerate(_asked(request), start=request.index):
            arguments.setdefault(at, {f"arg_{place}": word for place, word in enumerate(words)})
            answers.setdefault(at, []).append(answer)
    for scored in row.scored:
        yield {
            "doc_id": row.doc_id,
            "doc": row.doc,
            "target": row.target,
            "arguments": {f"gen_args_{at}": words for at, words in enumerate(arguments.values())},
            "resps": list(answers.values()),
            "filtered_resps": _texts(scored["filtered_resps"]),
            "filter": scored["filter"],
            "metrics": list(scored["metrics"]),
            "doc_hash": row.doc_hash,
            "prompt_hash": row.prompt_hash,
            "target_hash": row.target_hash,
            **scored["metrics"],
        }


def _asked(request: TaskSampleRow) -> Iterator[tuple[list[Any], Any]]:
    """Yield lm-eval's arguments and answer of each of its requests that this one answers."""
    if request.kind == "generate_until":
        yield [request.prompt, request.options], request.completion
        return
    for choice, score, greedy in zip(request.choices or (), request.scores or (), request.greedy or (), strict=True):
        if request.kind == "loglikelihood_rolling":
            yield [choice], str(score)
        else:
            yield [request.prompt, choice], [str(score), str(greedy)]


def _texts(value: Any) -> Any:  # JSON: lm-eval writes numbers within lists as texts
    return [_texts(one) for one in value] if isinstance(value, list) else str(value)
