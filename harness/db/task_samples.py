"""Samples of runs of lm-eval's own tasks: write them, recall them, and read them in lm-eval's log format."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Engine, delete, func, insert, select, update
from sqlalchemy.orm import Session

from fathom.harness.db.engine import insert_if_new, translate_errors
from fathom.harness.db.schema.runs import ResultRow, RunRow
from fathom.harness.db.schema.task_samples import TaskDocRow, TaskSampleRow
from fathom.harness.db.write import storable
from fathom.harness.engines.base import Completion, FinishReason

_WRITTEN_AT_ONCE = 500
_READ_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class TaskPosition:
    """Which of lm-eval's requests a request to the engine answers; see TaskSampleRow."""

    task: str
    doc_id: int
    index: int
    repeat: int
    kind: str


@dataclass(frozen=True, slots=True)
class TaskSample:
    """A request to the engine and its completion."""

    position: TaskPosition
    prompt: str
    choices: tuple[str, ...]
    options: dict[str, Any] | None  # JSON
    completion: Completion


@dataclass(frozen=True, slots=True)
class TaskDoc:
    """A scored document; see TaskDocRow."""

    task: str
    doc_id: int
    doc: Any  # JSON
    target: str
    scored: list[dict[str, Any]]
    doc_hash: str
    prompt_hash: str
    target_hash: str


def record_task_samples(db: Engine, run: str, samples: Sequence[TaskSample]) -> int:
    """Store samples that are not stored yet, in one transaction; return how many were new."""
    if not samples:
        return 0
    with translate_errors(), db.begin() as connection:
        added = insert_if_new(connection, TaskSampleRow).returning(TaskSampleRow.id)
        n_new = len(connection.execute(added, [_row(run, sample) for sample in samples]).all())
        counts = {"n_done": RunRow.n_done + n_new, "n_generated": RunRow.n_generated + n_new}
        connection.execute(update(RunRow).where(RunRow.id == run).values(**counts))
    return n_new


def _row(run: str, sample: TaskSample) -> dict[str, Any]:  # values of TaskSampleRow's columns
    done = sample.completion
    return {
        "run_id": run,
        **asdict(sample.position),
        "key": done.key,
        "prompt": storable(sample.prompt),
        "choices": _as_json(sample.choices) or None,
        "options": _as_json(sample.options),
        "completion": storable(done.text),
        "scores": None if done.scores is None else list(done.scores),
        "greedy": None if done.greedy is None else list(done.greedy),
        "finish_reason": done.finish_reason,
        "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.completion_tokens,
        "milliseconds": round(done.seconds * 1000),
        "error": None if done.error is None else storable(done.error),
    }


def recall_task_completions(db: Engine, run: str) -> dict[str, Completion]:
    """Return the completions of a run by key, without those on which the engine failed."""
    columns = (
        TaskSampleRow.key, TaskSampleRow.completion, TaskSampleRow.finish_reason, TaskSampleRow.prompt_tokens,
        TaskSampleRow.completion_tokens, TaskSampleRow.milliseconds, TaskSampleRow.scores, TaskSampleRow.greedy,
    )  # fmt: skip
    wanted = select(*columns).where(TaskSampleRow.run_id == run, TaskSampleRow.finish_reason != "error")
    with translate_errors(), Session(db) as session:
        return {row[0]: _completion(row) for row in session.execute(wanted)}


def _completion(row: Sequence[Any]) -> Completion:  # a row of recall_task_completions
    key, text, reason, n_prompt, n_tokens, milliseconds, scores, greedy = row
    finish: FinishReason = reason
    likelihoods, firsts = (None if found is None else tuple(found) for found in (scores, greedy))
    return Completion(key, text, finish, n_prompt, n_tokens, milliseconds / 1000, likelihoods, firsts)


def store_task_scores(db: Engine, run: str, results: dict[str, Any], docs: Iterable[TaskDoc]) -> None:
    """Store lm-eval's results of a run and its scores of each document, in place of earlier ones."""
    rows = [{"run_id": run, **asdict(doc), "doc": _as_json(doc.doc), "scored": _as_json(doc.scored)} for doc in docs]
    for row in rows:
        row["target"] = storable(row["target"])
    with translate_errors(), Session(db) as session, session.begin():
        for table in (TaskDocRow, ResultRow):
            session.execute(delete(table).where(table.run_id == run))
        for start in range(0, len(rows), _WRITTEN_AT_ONCE):
            session.execute(insert(TaskDocRow), rows[start : start + _WRITTEN_AT_ONCE])
        session.execute(insert(ResultRow), [{"run_id": run, "scores": _as_json(results)}])


def _as_json(value: Any) -> Any:
    """Return a value of a data set as JSON for any database: other types as text, NaN and infinity as null."""
    if isinstance(value, dict):
        return {str(key): _as_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set):
        return [_as_json(one) for one in value]
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, bool | int | None):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    item = getattr(value, "item", None)
    if callable(item) and not getattr(value, "shape", ()):  # a number of numpy's
        return _as_json(item())
    return storable(str(value))


def count_by_task(db: Engine, run: str) -> dict[str, int]:
    """Return the number of samples of a run by task."""
    counted = select(TaskSampleRow.task, func.count()).where(TaskSampleRow.run_id == run).group_by(TaskSampleRow.task)
    with translate_errors(), Session(db) as session:
        return {row[0]: row[1] for row in session.execute(counted)}


def docs_too_long(db: Engine, run: str) -> set[tuple[str, int]]:
    """Return (task, document) of the prompts that do not fit the model's context."""
    long = (TaskSampleRow.run_id == run, TaskSampleRow.finish_reason == "too_long")
    with translate_errors(), Session(db) as session:
        return {
            (row[0], row[1]) for row in session.execute(select(TaskSampleRow.task, TaskSampleRow.doc_id).where(*long))
        }


@dataclass(frozen=True, slots=True)
class DocRequest:
    """A request to the engine, and its completion."""

    prompt: str
    choices: tuple[str, ...]
    completion: Completion


@dataclass(frozen=True, slots=True)
class AnsweredDoc:
    """A document with its requests, and its scores where the run is scored."""

    task: str
    doc_id: int
    target: str | None
    """None until the run is scored, as in documents that did not fit the model's context."""
    requests: tuple[DocRequest, ...]
    logged: tuple[dict[str, Any], ...]
    """Lines of lm-eval's samples_TASK.jsonl, one a filter; empty until the run is scored."""


def stream_task_samples(db: Engine, run: str, task: str) -> Iterator[dict[str, Any]]:
    """Yield a task's documents as lines of lm-eval's samples_TASK.jsonl, one a document and filter.

    Takes a run's whole id. Documents whose prompt did not fit the model's context are missing.
    """
    for doc in stream_task_docs(db, run, task):
        yield from doc.logged


def stream_task_docs(db: Engine, run: str, task: str) -> Iterator[AnsweredDoc]:
    """Yield a task's documents in order, in constant memory; takes a run's whole id."""
    after = -1
    while numbers := _next_numbers(db, run, task, after):
        first, after = numbers[0], numbers[-1]
        requests, docs = _requests(db, run, task, first, after), _documents(db, run, task, first, after)
        for number in numbers:
            rows, doc = requests.get(number, []), docs.get(number)
            answered = tuple(DocRequest(row.prompt, tuple(row.choices or ()), _read(row)) for row in rows)
            logged = () if doc is None else tuple(_logged(doc, rows))
            yield AnsweredDoc(task, number, None if doc is None else doc.target, answered, logged)


def _next_numbers(db: Engine, run: str, task: str, after: int) -> Sequence[int]:
    same = (TaskSampleRow.run_id == run, TaskSampleRow.task == task, TaskSampleRow.doc_id > after)
    wanted = select(TaskSampleRow.doc_id).where(*same).distinct().order_by(TaskSampleRow.doc_id)
    with translate_errors(), Session(db) as session:
        return session.scalars(wanted.limit(_READ_AT_ONCE)).all()


def _read(row: TaskSampleRow) -> Completion:
    reason: FinishReason = row.finish_reason  # type: ignore[assignment]  # a column of texts
    scores = None if row.scores is None else tuple(row.scores)
    greedy = None if row.greedy is None else tuple(row.greedy)
    return Completion(
        row.key, row.completion, reason, row.prompt_tokens, row.completion_tokens, row.milliseconds / 1000, scores,
        greedy, row.error,
    )  # fmt: skip


def _documents(db: Engine, run: str, task: str, first: int, last: int) -> Mapping[int, TaskDocRow]:
    same = (TaskDocRow.run_id == run, TaskDocRow.task == task, TaskDocRow.doc_id.between(first, last))
    with translate_errors(), Session(db) as session:
        return {row.doc_id: row for row in session.scalars(select(TaskDocRow).where(*same))}


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
        for at, (words, answer) in enumerate(_lm_eval_requests(request), start=request.index):
            arguments.setdefault(at, {f"arg_{place}": word for place, word in enumerate(words)})
            answers.setdefault(at, []).append(answer)
    for scored in row.scored:
        yield {
            "doc_id": row.doc_id,
            "doc": row.doc,
            "target": row.target,
            "arguments": {f"gen_args_{at}": words for at, words in enumerate(arguments.values())},
            "resps": list(answers.values()),
            "filtered_resps": _as_text(scored["filtered_resps"]),
            "filter": scored["filter"],
            "metrics": list(scored["metrics"]),
            "doc_hash": row.doc_hash,
            "prompt_hash": row.prompt_hash,
            "target_hash": row.target_hash,
            **scored["metrics"],
        }


def _lm_eval_requests(request: TaskSampleRow) -> Iterator[tuple[list[Any], Any]]:
    """Yield (arguments, answer) of each of lm-eval's requests that this one answers."""
    if request.kind == "generate_until":
        yield [request.prompt, request.options], request.completion
        return
    for choice, score, greedy in zip(request.choices or (), request.scores or (), request.greedy or (), strict=True):
        if request.kind == "loglikelihood_rolling":
            yield [choice], str(score)
        else:
            yield [request.prompt, choice], [str(score), str(greedy)]


def _as_text(value: Any) -> Any:  # JSON: lm-eval writes numbers within lists as texts
    return [_as_text(one) for one in value] if isinstance(value, list) else str(value)
