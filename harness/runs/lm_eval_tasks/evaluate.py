"""Evaluate a model on lm-eval's own tasks, and keep every completion: resumable, recorded, stored apart."""

import io
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine as Database

from fathom.harness.db.task_runs import read as task_records
from fathom.harness.db.task_runs import write as task_runs
from fathom.harness.db.task_runs.write import NewTaskRun, TaskDoc, TaskSample
from fathom.harness.db.write import Ending
from fathom.harness.engines.base import Completion, Engine, Request
from fathom.harness.engines.factory import open_engine
from fathom.harness.errors import BadInput
from fathom.harness.records import Report, Tick
from fathom.harness.runs.evaluate import Outcome, check_unchanged, first_prompt, recorded
from fathom.harness.runs.manifest import Manifest, describe
from fathom.harness.runs.plan import StockPlan, check_answers_tasks
from fathom.harness.settings import quiet_lm_eval

quiet_lm_eval()  # lm-eval's progress bars read the environment once, when they are imported

from lm_eval.evaluator import evaluate as run_lm_eval  # noqa: E402

from fathom.harness.runs.lm_eval_tasks.model import Asked, StockLM, ask, messages_as_text  # noqa: E402
from fathom.harness.runs.lm_eval_tasks.tasks import Loaded, build_requests, load_tasks  # noqa: E402

log = logging.getLogger(__name__)

BOOTSTRAPS = 100_000
"""Resamples for the standard error of metrics that have no formula for it, as in lm-eval's own command."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan whose tasks are loaded and whose requests are built."""

    plan: StockPlan
    loaded: Loaded
    sizes: Mapping[str, int]
    """Requests to the engine by task."""
    manifest: Manifest

    @property
    def n_requests(self) -> int:
        """Requests to the engine."""
        return sum(self.sizes.values())


def prepare(plan: StockPlan) -> Prepared:
    """Load the tasks and build all requests, before a model is loaded or a run is stored.

    Raises:
        UnknownTask, BadInput: see harness.stock_tasks; a task that the engine cannot answer.
    """
    check_answers_tasks(plan.how.engine)
    with redirect_stdout(io.StringIO()):  # some tasks print while they load
        loaded = load_tasks(plan.asking)
        build_requests(loaded, plan.asking, messages_as_text)
    sizes = dict.fromkeys(loaded.tasks, 0)
    for kind in loaded.kinds():
        rows = [one for one in loaded.instances(kind) for _ in range(one.repeats or 1)]
        for one in ask(kind, rows)[0]:
            if plan.how.engine == "openai":
                _check_servable(one, plan.how.prompting.chat)
            sizes[one.place.task] += 1
    return Prepared(plan, loaded, sizes, _manifest(plan, loaded))


def _check_servable(one: Asked, chat: bool) -> None:
    """Refuse what no OpenAI-compatible server can be asked."""
    task = one.place.task
    if one.choices and not one.prompt.strip():
        raise BadInput(f"the task {task} scores texts without a context, which no server does: use vllm or hf")
    if chat and one.goes_on:
        raise BadInput(f"the task {task} begins the model's answer, which chats with a server do not: leave --chat out")


def _manifest(plan: StockPlan, loaded: Loaded) -> Manifest:
    asking = plan.asking.to_json()
    sampling = {name: value for name, value in asking["sampling"].items() if name != "temperature_free"}
    if plan.asking.decoding.temperature is None:
        del sampling["temperature"]  # each task has its own
    sampling["shots"] = asking["shots"]
    asked = {
        "tasks": loaded.versions(),
        "requests": loaded.digest(),
        "limit": asking["limit"],
        "sampling": sampling,
    }
    return describe(plan.model, plan.how, asked, {"include_paths": asking["include_paths"]})


@dataclass(slots=True)
class DatabaseJournal:
    """Keep completions in the database; each call of `record` is one transaction."""

    db: Database
    run: str
    prepared: Prepared
    known: dict[str, Completion]
    report: Report
    n_done: int = field(init=False)
    _positions: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        """Count what is there."""
        self.n_done = len(self.known)
        self._positions = {name: at for at, name in enumerate(self.prepared.sizes)}

    def tell_kept(self) -> None:
        """Report what earlier attempts left."""
        if self.known:
            kept = task_records.count_by_task(self.db, self.run)
            cells = {self._positions[task]: n for task, n in kept.items()}
            self.report("generating", Tick(self.n_done, self.prepared.n_requests, 0, cells))

    def recall(self, key: str) -> Completion | None:
        """Return the completion of an earlier attempt, if there is one."""
        return self.known.get(key)

    def record(self, samples: Sequence[TaskSample]) -> None:
        """Commit samples, then report progress."""
        task_runs.record_task_samples(self.db, self.run, samples)
        self.n_done += len(samples)
        cells: dict[int, int] = {}
        for sample in samples:
            at = self._positions[sample.place.task]
            cells[at] = cells.get(at, 0) + 1
        tokens = sum(one.completion.prompt_tokens + one.completion.completion_tokens for one in samples)
        self.report("generating", Tick(self.n_done, self.prepared.n_requests, tokens, cells))


def evaluate_tasks(prepared: Prepared, db: Database, report: Report) -> Outcome:
    """Answer all requests, let lm-eval score them, and store both; return the run's id and counters.

    A run that ends early is stored as failed or interrupted and can be resumed.

    Raises:
        RunChanged: the run to resume was started with something else.
        EngineFailed, StoreError, Interrupted: after the state was stored.
    """
    run = _start(db, prepared)
    with recorded(run, lambda ending: task_runs.end_task_run(db, run, ending)):
        return _evaluate(prepared, db, run, report)


def _start(db: Database, prepared: Prepared) -> str:
    plan, manifest = prepared.plan, prepared.manifest
    if plan.resume is None:
        new = NewTaskRun(
            plan.model.name, plan.how.engine, plan.asking.tasks, plan.asking.to_json(), manifest.to_json(),
            manifest.digest(), prepared.n_requests,
        )  # fmt: skip
        run = task_runs.start_task_run(db, new)
        log.info("run %s: %s on %s, %d requests", run, new.model, ", ".join(new.tasks), new.n_requests)
        return run
    stored = task_records.get_task_run(db, plan.resume)
    check_unchanged(stored.summary.run, stored, manifest)
    task_runs.resume_task_run(db, stored.summary.run)
    return stored.summary.run


def _evaluate(prepared: Prepared, db: Database, run: str, report: Report) -> Outcome:
    plan, began = prepared.plan, time.monotonic()
    journal = DatabaseJournal(db, run, prepared, task_runs.recall_completions(db, run), report)
    opened: list[Engine] = []

    def engine(first: Request) -> Engine:
        if not opened:
            report("loading", None)
            opened.append(open_engine(plan.how.engine, plan.model, plan.how.setup))
            task_runs.note_task_engine(db, run, dict(opened[0].facts()), first_prompt(opened[0], first))
            journal.tell_kept()
        return opened[0]

    lm = StockLM(engine, journal, prepared.manifest.digest(), (plan.how.prompting, plan.how.decoding))
    try:
        found = _through_lm_eval(prepared, lm)
    finally:
        for one in opened:
            one.close()
    report("scoring", None)
    logged = found.pop("samples")
    found["n-too-long"] = {name: sum(task == name for task, _ in lm.unfit) for name in prepared.loaded.tasks}
    task_runs.finish_task_run(db, run, found, _docs(logged))
    seconds = time.monotonic() - began
    task_runs.end_task_run(db, run, Ending("done", seconds))
    log.info("run %s: done in %.1f s, %d generated, %d recalled", run, seconds, lm.n_generated, lm.n_recalled)
    return Outcome(run, lm.n_recalled, lm.n_generated, seconds)


def _through_lm_eval(prepared: Prepared, lm: StockLM) -> dict[str, Any]:
    loaded, asking = prepared.loaded, prepared.plan.asking
    for name, task in loaded.tasks.items():
        _leave_out(name, task, lm.unfit)
    with redirect_stdout(io.StringIO()):  # lm-eval prints while it bootstraps
        found: dict[str, Any] = run_lm_eval(
            lm,
            {"tasks": dict(loaded.tasks), "groups": dict(loaded.groups)},
            limit=asking.limit,
            bootstrap_iters=BOOTSTRAPS,
            log_samples=True,
        )
    return found


def _leave_out(name: str, task: Any, unfit: set[tuple[str, int]]) -> None:
    """Let lm-eval score only documents whose prompts fit; it would take no answer for the first choice."""
    whole: Callable[..., Iterator[tuple[int, Any]]] = task.doc_iterator

    def fitting(**words: Any) -> Iterator[tuple[int, Any]]:
        kept = [(at, doc) for at, doc in whole(**words) if (name, at) not in unfit]
        if not kept:
            raise BadInput(f"no prompt of the task {name} fits the context of the model: nothing can be scored")
        return iter(kept)

    task.doc_iterator = fitting


def _docs(logged: Mapping[str, list[dict[str, Any]]]) -> Iterator[TaskDoc]:
    """Yield each document once, with what lm-eval made of it under each filter."""
    for task, rows in logged.items():
        by_doc: dict[int, list[dict[str, Any]]] = {}
        for row in rows:
            by_doc.setdefault(row["doc_id"], []).append(row)
        for doc_id, same in by_doc.items():
            first = same[0]
            scored = [
                {
                    "filter": row["filter"],
                    "filtered_resps": row["filtered_resps"],
                    "metrics": {name: row[name] for name in row["metrics"]},
                }
                for row in same
            ]
            yield TaskDoc(
                task, doc_id, first["doc"], str(first["target"]), scored, first["doc_hash"], first["prompt_hash"],
                first["target_hash"],
            )  # fmt: skip
