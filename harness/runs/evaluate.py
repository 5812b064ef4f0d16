"""Evaluate a model on a suite or on lm-eval's own tasks: from a plan to a stored run."""

import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypeVar

from sqlalchemy import Engine as Database

from fathom.harness.db import read, write
from fathom.harness.db.liveness import HeartbeatThread, Holder, holding, new_holder, take_over_run
from fathom.harness.db.read import total_failure
from fathom.harness.engines.base import Completion, Engine, EngineSettings, RendersPrompts, Request
from fathom.harness.engines.engine_process import EngineProcess
from fathom.harness.engines.factory import engine_process, open_engine
from fathom.harness.engines.model import ModelSource, inspect_model
from fathom.harness.errors import EngineFailed, FathomError, Interrupted, NoAnswers, RunBusy, RunChanged, StoreError
from fathom.harness.records import Manifest, Progress, ProgressReport, RunDetail, TaskRunDetail
from fathom.harness.runs.manifest import known_suite_digest, make_manifest
from fathom.harness.runs.plan import Plan
from fathom.harness.runs.request_queue import QueuedRequest, RequestQueue, run_waves
from fathom.tasks.suite_tables import ADAPTIVE

if TYPE_CHECKING:  # it imports lm-eval
    from fathom.harness.runs.lm_eval_tasks.evaluation import PreparedTasks

log = logging.getLogger(__name__)

_LOG_TAIL = 20_000
"""Characters of a failed run's log that are stored."""


def _no_report(_phase: str, _progress: Progress | None) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished evaluation, with the counters of this attempt."""

    run: str
    n_recalled: int
    n_generated: int
    seconds: float
    n_prompt_tokens: int = 0
    n_cached_tokens: int = 0
    """Tokens of prompts that the engine's prefix cache held."""


_R = TypeVar("_R", bound=QueuedRequest)


class Evaluation(Protocol[_R]):
    """One attempt at a run, of either kind."""

    n_recalled: int
    n_generated: int

    @property
    def right(self) -> Mapping[int, int]:
        """Right answers so far by position of their cell, if they decide what is asked next; else nothing."""

    @property
    def kept(self) -> Mapping[int, int]:
        """Samples of earlier attempts by position of their cell or task."""

    def store(self, answered: Sequence[tuple[_R, Completion]]) -> None:
        """Commit completions in one transaction."""

    def waves(self, queue: RequestQueue[_R]) -> Iterator[Callable[[], None]]:
        """Yield functions that add the missing requests to the queue and wait for them; each runs in a thread."""

    def score(self) -> None:
        """Store scores that need all completions."""

    def publish(self) -> None:
        """Update what depends on the finished run."""


class EngineKeeper:
    """Opens the engines of runs, and keeps the last one for another run of the same model with the same settings."""

    def __init__(self) -> None:
        """Open nothing yet."""
        self._for: tuple[ModelSource, EngineSettings] | None = None
        self._engine: Engine | None = None
        self._process: EngineProcess | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the engine that is kept."""
        self.close()

    @contextmanager
    def prepared(self, model: ModelSource, engine: EngineSettings) -> Iterator[Callable[[], Engine]]:
        """Give a function that returns the engine, loaded when it is first called; an error closes it.

        An engine that runs in a process of its own starts it here, to import its packages meanwhile.
        """
        if self._for != (model, engine):
            self.close()
            self._for, self._process = (model, engine), self._stack.enter_context(engine_process(engine))

        def opened() -> Engine:
            if self._engine is None:
                self._engine = open_engine(model, engine, self._process)
            return self._engine

        try:
            yield opened
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Unload the engine that is kept, if there is one."""
        engine, self._engine, self._for = self._engine, None, None
        try:
            if engine is not None:
                engine.close()
        finally:
            self._stack.close()


def evaluate(
    plan: "Plan | PreparedTasks", db: Database, report: ProgressReport = _no_report, keeper: EngineKeeper | None = None
) -> Outcome:
    """Evaluate a model on a suite or on lm-eval's own tasks; store every sample and return the run's id and counters.

    A run that ends early is stored as failed or interrupted and can be resumed. With a `keeper`, the engine stays
    loaded for the next run; without one, it is unloaded in the end.

    Raises:
        RunChanged: the run to resume was started with something else.
        RunBusy: another process is running it.
        NoAnswers, EngineFailed, StoreError, Interrupted: after the state was stored.
    """
    holder = new_holder()
    with holding(holder):
        run = _start_suite(plan, db, holder) if isinstance(plan, Plan) else _start_tasks(plan, db, holder)
        with EngineKeeper() if keeper is None else nullcontext(keeper) as kept:
            return _attempt(plan, db, run, _Helpers(HeartbeatThread(db, run, holder), report, kept))


@dataclass(frozen=True, slots=True)
class _Helpers:
    """What serves an attempt: the heartbeat of its run, the listener to its progress, and the keeper of its engine."""

    heartbeat: HeartbeatThread
    report: ProgressReport
    keeper: EngineKeeper


def _attempt(plan: "Plan | PreparedTasks", db: Database, run: str, helpers: _Helpers) -> Outcome:
    asked, report = plan if isinstance(plan, Plan) else plan.plan, helpers.report
    engine = helpers.keeper.prepared(asked.model, asked.settings.engine)
    with _recorded(db, run), helpers.heartbeat as heartbeat, engine as opened:
        began = time.monotonic()
        report("building", None)
        if isinstance(plan, Plan):
            from fathom.harness.runs.adaptive import DepthEvaluation
            from fathom.harness.runs.waves import SuiteEvaluation

            detail = read.get_run(db, run)
            kind = DepthEvaluation if detail.summary.layer == "adaptive" else SuiteEvaluation
            suite = kind(db, detail, plan.settings, detail.manifest_digest)
            return _evaluate(suite, _Attempt(db, opened, detail.summary.n_samples, report, began, heartbeat), run)
        from fathom.harness.runs.lm_eval_tasks.evaluation import TaskEvaluation

        tasks = TaskEvaluation(db, run, plan)
        return _evaluate(tasks, _Attempt(db, opened, len(plan.requests), report, began, heartbeat), run)


def _start_suite(plan: Plan, db: Database, holder: Holder) -> str:
    """Store a new run, or reopen the one to resume; return its id."""
    stored = None if plan.resume is None else read.get_run(db, plan.resume)
    known = known_suite_digest(stored.manifest) if stored and stored.suite == plan.suite else None
    manifest = make_manifest(plan.model, plan.suite, plan.settings, known, plan.prompt_format, plan.tags)
    if stored is not None:
        return _reopen(db, stored, manifest, holder)
    files = None if plan.model.path is None else inspect_model(plan.model.path)
    new = write.NewRun(
        plan.model.name,
        plan.settings.engine.name,
        plan.suite,
        manifest.decisive.suite.digest,
        manifest.to_json(),
        manifest.digest(),
        files.n_parameters if files else None,
        files.kind if files else None,
        layer=_layer(plan),
        n_repeats=plan.settings.sampling.repeats,
        origin=_origin(plan.model, holder),
    )
    run = write.start_run(db, new)
    log.info("run %s: %s on %s, %d items", run, new.model, new.suite.name, new.suite.n_items)
    return run


def _layer(plan: Plan) -> str:
    if plan.suite.name in ADAPTIVE:
        return "adaptive"
    return "sampled" if plan.settings.sampling.is_sampled else "main"


def _start_tasks(prepared: "PreparedTasks", db: Database, holder: Holder) -> str:
    """Store a new run, or reopen the one to resume; return its id."""
    plan, manifest = prepared.plan, prepared.manifest
    if plan.resume is not None:
        return _reopen(db, read.get_task_run(db, plan.resume), manifest, holder)
    files = None if plan.model.path is None else inspect_model(plan.model.path)
    new = write.NewTaskRun(
        plan.model.name,
        plan.settings.engine.name,
        plan.to_json(),
        prepared.loaded.digest(),
        manifest.decisive.lm_eval,
        len(prepared.requests),
        manifest.to_json(),
        manifest.digest(),
        files.n_parameters if files else None,
        files.kind if files else None,
        _origin(plan.model, holder),
    )
    run = write.start_task_run(db, new)
    log.info("run %s: %s on %s, %d requests", run, new.model, ", ".join(plan.selection.tasks), new.n_requests)
    return run


def _origin(model: ModelSource, holder: Holder) -> write.Origin:
    path = None if model.path is None or not model.by_digest else str(model.path.resolve())
    return write.Origin(str(holder), path, model.digest if model.by_digest else None, model.is_named)


def _reopen(db: Database, stored: RunDetail | TaskRunDetail, now: Manifest, holder: Holder) -> str:
    """Reopen a stored run; raise RunChanged if what decides its numbers has changed, RunBusy if it is being run."""
    run = stored.summary.run
    if stored.manifest_digest != now.digest():
        before, after = (one.stored.get("decisive", {}) for one in (stored.manifest, now))
        changed = ", ".join(name for name, value in after.items() if before.get(name) != value)
        raise RunChanged(
            f"run {run} was started with another {changed}: its samples would not fit together; "
            "start a new run, or go back to what it was started with"
        )
    take_over_run(db, run, holder)
    return run


@dataclass(slots=True)
class _Attempt:
    """What an attempt needs beside its evaluation."""

    db: Database
    engine: Callable[[], Engine]
    n_items: int
    report: ProgressReport
    began: float
    heartbeat: HeartbeatThread


@dataclass(slots=True)
class Journal(Generic[_R]):
    """Stores completions as they arrive, and reports progress; each call of `store` is one transaction."""

    evaluation: Evaluation[_R]
    n_items: int
    report: ProgressReport
    n_done: int = field(init=False)
    n_prompt_tokens: int = field(default=0, init=False)
    n_cached_tokens: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Count the samples of earlier attempts."""
        self.n_done = sum(self.evaluation.kept.values())

    def report_kept(self) -> None:
        """Report the samples of earlier attempts."""
        self.report("generating", None)
        if self.n_done:
            self.report(
                "generating", Progress(self.n_done, self.n_items, 0, self.evaluation.kept, self.evaluation.right)
            )

    def store(self, answered: Sequence[tuple[_R, Completion]]) -> None:
        """Commit completions, then report progress."""
        self.evaluation.store(answered)
        self.n_done += len(answered)
        self.n_prompt_tokens += sum(done.prompt_tokens for _, done in answered)
        self.n_cached_tokens += sum(done.cached_tokens for _, done in answered)
        tokens = sum(done.prompt_tokens + done.completion_tokens for _, done in answered)
        cells = Counter(asked.position for asked, _ in answered)
        self.report("generating", Progress(self.n_done, self.n_items, tokens, cells, self.evaluation.right))


def _evaluate(evaluation: Evaluation[_R], attempt: _Attempt, run: str) -> Outcome:
    db, report = attempt.db, attempt.report
    journal = Journal(evaluation, attempt.n_items, report)
    queue = RequestQueue(journal.store)
    attempt.heartbeat.on_loss = queue.fail
    opened: list[Engine] = []

    def engine() -> Engine:
        if not opened:
            report("loading", None)
            began = time.monotonic()
            opened.append(attempt.engine())
            facts = {**opened[0].facts(), "load_seconds": f"{time.monotonic() - began:.1f}"}
            write.note_engine(db, run, facts, _first_prompt(opened[0], queue.first()))
            journal.report_kept()
        return opened[0]

    run_waves(queue, evaluation.waves(queue), engine)
    if (failures := total_failure(db, run)) is not None:
        raise NoAnswers(str(failures), failures.log())
    report("scoring", None)
    evaluation.score()
    seconds = time.monotonic() - attempt.began
    attempt.heartbeat.stop()
    write.finish_run(db, run, write.Ending("done", seconds))  # the engine is closed after this: it may take a second
    evaluation.publish()
    log.info(
        "run %s: done in %.1f s, %d generated, %d recalled", run, seconds, evaluation.n_generated, evaluation.n_recalled
    )
    return Outcome(
        run, evaluation.n_recalled, evaluation.n_generated, seconds, journal.n_prompt_tokens, journal.n_cached_tokens
    )


def _first_prompt(engine: Engine, request: Request | None) -> dict[str, Any]:  # JSON values
    """Return the first request as the model reads it, if the engine can render it."""
    if request is None or not isinstance(engine, RendersPrompts):
        return {}
    seen = engine.render(request)
    return {"item": request.item, "text": seen.text, "token_ids": list(seen.token_ids)}


@contextmanager
def _recorded(db: Database, run: str) -> Iterator[None]:
    """Store the end of an attempt that fails or is stopped; a successful one stores its own end.

    Raises:
        Interrupted: the user stopped it.
        FathomError: as it came; any other error as EngineFailed. Each has the run's id.
    """
    began = time.monotonic()

    def store(state: str, said: str, log_text: str = "") -> None:
        tail = (log_text or traceback.format_exc())[-_LOG_TAIL:]
        ending = write.Ending(state, time.monotonic() - began, said, tail)
        with suppress(StoreError):  # a full disk may refuse this too; the samples are safe either way
            write.finish_run(db, run, ending)

    try:
        yield
    except KeyboardInterrupt as stop:
        store("interrupted", "stopped by the user")
        raise Interrupted(run) from stop
    except RunBusy as error:  # the run is another process's now, so its state is not ours to store
        error.run = run
        raise
    except FathomError as error:
        store("failed", str(error), error.log if isinstance(error, NoAnswers) else "")
        error.run = run
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        store("failed", said)
        failed = EngineFailed(f"the run stopped: {said}")
        failed.run = run
        raise failed from error
