"""Write runs of stock lm-eval tasks: each function is one transaction, and writing twice changes nothing."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, delete, func, insert, select, update
from sqlalchemy.orm import Session

from fathom.harness.db.engine import translate_errors
from fathom.harness.db.schema.task_runs import TaskDocRow, TaskRunRow, TaskSampleRow
from fathom.harness.db.sql import insert_if_new
from fathom.harness.db.write import Clock, Ending, storable, utc_now
from fathom.harness.engines.base import Completion, FinishReason

_AT_A_TIME = 500


@dataclass(frozen=True, slots=True)
class NewTaskRun:
    """What is known of a run before it starts."""

    model: str
    engine: str
    tasks: tuple[str, ...]
    settings: dict[str, Any]  # JSON
    manifest: dict[str, Any]  # JSON of provenance.Manifest
    manifest_digest: str
    n_requests: int


@dataclass(frozen=True, slots=True)
class TaskPlace:
    """Where a request belongs: see TaskSampleRow."""

    task: str
    doc_id: int
    index: int
    repeat: int
    kind: str


@dataclass(frozen=True, slots=True)
class TaskSample:
    """A finished request."""

    place: TaskPlace
    prompt: str
    choices: tuple[str, ...]
    options: dict[str, Any] | None  # JSON
    completion: Completion


@dataclass(frozen=True, slots=True)
class TaskDoc:
    """A scored document: see TaskDocRow."""

    task: str
    doc_id: int
    doc: Any  # JSON
    target: str
    scored: list[dict[str, Any]]
    doc_hash: str
    prompt_hash: str
    target_hash: str


def start_task_run(db: Engine, new: NewTaskRun, now: Clock = utc_now) -> str:
    """Store a run; return its id."""
    run = uuid4().hex[:12]
    with translate_errors(), Session(db) as session, session.begin():
        row = TaskRunRow(
            id=run, model=new.model, engine=new.engine, tasks=list(new.tasks), settings=new.settings,
            manifest=new.manifest, manifest_digest=new.manifest_digest, n_requests=new.n_requests, state="running",
            created_at=now(),
        )  # fmt: skip
        session.add(row)
    return run


def resume_task_run(db: Engine, run: str) -> None:
    """Mark a run as running again, and forget its scores and the requests on which the engine failed."""
    with translate_errors(), Session(db) as session, session.begin():
        session.execute(
            delete(TaskSampleRow).where(TaskSampleRow.run_id == run, TaskSampleRow.finish_reason == "error")
        )
        session.execute(delete(TaskDocRow).where(TaskDocRow.run_id == run))
        again = {"state": "running", "attempts": TaskRunRow.attempts + 1, "n_done": _n_stored(session, run)}
        blank = {"error": None, "log": None, "results": None, "finished_at": None}
        session.execute(update(TaskRunRow).where(TaskRunRow.id == run).values(**again, **blank))


def _n_stored(session: Session, run: str) -> int:
    counted = select(func.count()).select_from(TaskSampleRow).where(TaskSampleRow.run_id == run)
    return session.scalars(counted).one()


def record_task_samples(db: Engine, run: str, samples: Sequence[TaskSample]) -> int:
    """Store requests that are not there yet; return how many were new."""
    if not samples:
        return 0
    with translate_errors(), db.begin() as connection:
        added = insert_if_new(connection, TaskSampleRow).returning(TaskSampleRow.id)
        n_new = len(connection.execute(added, [_row(run, sample) for sample in samples]).all())
        counts = {"n_done": TaskRunRow.n_done + n_new, "n_generated": TaskRunRow.n_generated + n_new}
        connection.execute(update(TaskRunRow).where(TaskRunRow.id == run).values(**counts))
    return n_new


def _row(run: str, sample: TaskSample) -> dict[str, Any]:  # values of TaskSampleRow's columns
    done = sample.completion
    return {
        "run_id": run,
        **asdict(sample.place),
        "key": done.key,
        "prompt": storable(sample.prompt),
        "choices": plain(sample.choices) or None,
        "options": plain(sample.options),
        "completion": storable(done.text),
        "scores": None if done.scores is None else list(done.scores),
        "greedy": None if done.greedy is None else list(done.greedy),
        "finish_reason": done.finish_reason,
        "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.completion_tokens,
        "milliseconds": round(done.seconds * 1000),
        "error": None if done.error is None else storable(done.error),
    }


def recall_completions(db: Engine, run: str) -> dict[str, Completion]:
    """Return every completion of a run that need not be asked for again, by its key."""
    columns = (
        TaskSampleRow.key, TaskSampleRow.completion, TaskSampleRow.finish_reason, TaskSampleRow.prompt_tokens,
        TaskSampleRow.completion_tokens, TaskSampleRow.milliseconds, TaskSampleRow.scores, TaskSampleRow.greedy,
    )  # fmt: skip
    wanted = select(*columns).where(TaskSampleRow.run_id == run, TaskSampleRow.finish_reason != "error")
    with translate_errors(), Session(db) as session:
        return {row[0]: _completion(row) for row in session.execute(wanted)}


def _completion(row: Sequence[Any]) -> Completion:  # a row of recall_completions
    key, text, reason, n_prompt, n_tokens, milliseconds, scores, greedy = row
    finish: FinishReason = reason
    likelihoods, firsts = (None if found is None else tuple(found) for found in (scores, greedy))
    return Completion(key, text, finish, n_prompt, n_tokens, milliseconds / 1000, likelihoods, firsts)


def note_task_engine(db: Engine, run: str, facts: dict[str, str], first_prompt: dict[str, Any]) -> None:
    """Add what the loaded engine says of itself to the manifest, and what it read first; the digest covers neither."""
    with translate_errors(), Session(db) as session, session.begin():
        row = session.get_one(TaskRunRow, run)
        first = row.manifest.get("first_prompt") or first_prompt  # it stays that of the first attempt
        row.manifest = {**row.manifest, "engine_facts": facts, **({"first_prompt": first} if first else {})}


def finish_task_run(db: Engine, run: str, results: dict[str, Any], docs: Iterable[TaskDoc]) -> None:
    """Store lm-eval's results and what it made of each document."""
    rows = [{"run_id": run, **asdict(doc), "doc": plain(doc.doc), "scored": plain(doc.scored)} for doc in docs]
    for row in rows:
        row["target"] = storable(row["target"])
    with translate_errors(), Session(db) as session, session.begin():
        session.execute(delete(TaskDocRow).where(TaskDocRow.run_id == run))
        for start in range(0, len(rows), _AT_A_TIME):
            session.execute(insert(TaskDocRow), rows[start : start + _AT_A_TIME])
        session.execute(update(TaskRunRow).where(TaskRunRow.id == run).values(results=plain(results)))


def end_task_run(db: Engine, run: str, ending: Ending, now: Clock = utc_now) -> None:
    """Store how an attempt ended."""
    values = {
        "state": ending.state, "error": ending.error, "log": ending.log, "finished_at": now(),
        "seconds": TaskRunRow.seconds + round(ending.seconds),
    }  # fmt: skip
    with translate_errors(), Session(db) as session, session.begin():
        session.execute(update(TaskRunRow).where(TaskRunRow.id == run).values(**values))


def plain(value: Any) -> Any:
    """Return a value of a data set as JSON that every database takes: other types as text, NaN and infinity as null."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(one) for one in value]
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, bool | int | None):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    item = getattr(value, "item", None)
    if callable(item) and not getattr(value, "shape", ()):  # a number of numpy's
        return plain(item())
    return storable(str(value))
