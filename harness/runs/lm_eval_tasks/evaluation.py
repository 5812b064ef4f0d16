"""Evaluate lm-eval's own tasks: first the engine answers all requests, then lm-eval scores the stored completions."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Engine as Database

from fathom.harness.db.task_samples import (
    TaskDoc,
    count_by_task,
    docs_too_long,
    recall_task_completions,
    record_task_samples,
    store_task_scores,
)
from fathom.harness.engines.base import Completion
from fathom.harness.errors import BadInput, EngineFailed
from fathom.harness.records import Manifest
from fathom.harness.runs.manifest import describe_run
from fathom.harness.runs.plan import TaskPlan, check_answers_tasks
from fathom.harness.runs.request_queue import WAVE, RequestQueue
from fathom.harness.settings import quiet_lm_eval

quiet_lm_eval()  # lm-eval's progress bars read the environment once, when they are imported

from lm_eval.evaluator import evaluate as run_lm_eval  # noqa: E402

from fathom.harness.runs.lm_eval_model import EngineLM, select_missing  # noqa: E402
from fathom.harness.runs.lm_eval_tasks.requests import TaskReader, TaskRequest, messages_as_text  # noqa: E402
from fathom.harness.runs.lm_eval_tasks.tasks import LoadedTasks, build_requests, load_tasks  # noqa: E402

_BOOTSTRAPS = 100_000
"""Resamples for the standard error of metrics that have no formula for it, as in lm-eval's own command."""


@dataclass(frozen=True, slots=True)
class PreparedTasks:
    """A plan whose tasks are loaded and whose requests are built."""

    plan: TaskPlan
    loaded: LoadedTasks
    requests: tuple[TaskRequest, ...]
    manifest: Manifest

    @property
    def sizes(self) -> Mapping[str, int]:
        """Requests to the engine by task."""
        found = dict.fromkeys(self.loaded.tasks, 0)
        for one in self.requests:
            found[one.of.task] += 1
        return found


def prepare_tasks(plan: TaskPlan) -> PreparedTasks:
    """Load the tasks and build all requests, before a model is loaded or a run is stored.

    Raises:
        UnknownTask, BadInput: see `load_tasks`; a task that the engine cannot answer.
    """
    check_answers_tasks(plan.settings.engine.name)
    with redirect_stdout(io.StringIO()):  # some tasks print while they load
        loaded = load_tasks(plan.selection, plan.settings)
        build_requests(loaded, plan, messages_as_text)
    manifest = _manifest(plan, loaded)
    reader = TaskReader(manifest.digest(), plan.settings, loaded.positions)
    requests: list[TaskRequest] = []
    for kind in loaded.kinds():
        rows = [one for one in loaded.instances(kind) for _ in range(one.repeats or 1)]
        requests += reader.read(kind, rows)[0]
    if plan.settings.engine.name == "openai":
        for one in requests:
            _check_servable(one)
    return PreparedTasks(plan, loaded, tuple(requests), manifest)


def _check_servable(one: TaskRequest) -> None:
    """Refuse a request that no OpenAI-compatible server can answer."""
    task = one.of.task
    if one.choices and not one.prompt.strip():
        raise BadInput(f"the task {task} scores texts without a context, which no server does: use vllm or hf")
    if one.begins_answer:
        raise BadInput(f"the task {task} begins the model's answer, which chats with a server do not: leave --chat out")


def _manifest(plan: TaskPlan, loaded: LoadedTasks) -> Manifest:
    stated = plan.to_json()
    sampling = {name: value for name, value in stated["sampling"].items() if name != "temperature_free"}
    if plan.settings.sampling.temperature is None:
        del sampling["temperature"]  # each task has its own
    sampling["shots"] = stated["shots"]
    asked = {
        "tasks": loaded.versions(),
        "requests": loaded.digest(),
        "limit": stated["limit"],
        "sampling": sampling,
    }
    around = {"include_paths": stated["include_paths"], **({"tags": list(plan.tags)} if plan.tags else {})}
    return describe_run(plan.model, plan.settings, asked, around)


@dataclass(slots=True)
class TaskEvaluation:
    """One attempt at a run on lm-eval's own tasks."""

    db: Database
    run: str
    prepared: PreparedTasks
    n_recalled: int = field(default=0, init=False)
    n_generated: int = field(default=0, init=False)
    right: Mapping[int, int] = field(default_factory=dict, init=False)
    """Empty: what is asked is fixed."""
    _errors: list[str] = field(default_factory=list, init=False)
    """Errors of single requests in this attempt."""

    @property
    def kept(self) -> Mapping[int, int]:
        """Samples of earlier attempts by position of their task."""
        return {self.prepared.loaded.positions[task]: n for task, n in count_by_task(self.db, self.run).items()}

    def store(self, answered: Sequence[tuple[TaskRequest, Completion]]) -> None:
        """Commit completions."""
        record_task_samples(self.db, self.run, [asked.sample(done) for asked, done in answered])
        self._errors += [done.error or "" for _, done in answered if done.finish_reason == "error"]

    def waves(self, queue: RequestQueue[TaskRequest]) -> Iterator[Callable[[], None]]:
        """Yield waves of the requests without a completion, in the order of lm-eval."""
        known = recall_task_completions(self.db, self.run)
        missing = [one for one in self.prepared.requests if one.request.key not in known]
        self.n_recalled, self.n_generated = len(self.prepared.requests) - len(missing), len(missing)
        for start in range(0, len(missing), WAVE):
            yield partial(_complete, queue, missing[start : start + WAVE])

    def score(self) -> None:
        """Let lm-eval score the stored completions, and store its results.

        Raises:
            EngineFailed: the engine failed on single requests.
            BadInput: no prompt of a task fits the model's context.
        """
        if self._errors:
            raise EngineFailed(
                f"the engine failed on {len(self._errors)} of {len(self.prepared.requests)} requests, the first time "
                f"with: {self._errors[0]}; a resumed run asks these again"
            )
        loaded, too_long = self.prepared.loaded, docs_too_long(self.db, self.run)
        for name, task in loaded.tasks.items():
            _leave_out(name, task, too_long)
        reader = TaskReader(self.prepared.manifest.digest(), self.prepared.plan.settings, loaded.positions)
        lm = EngineLM(reader, recall_task_completions(self.db, self.run), _refuse_missing)
        with redirect_stdout(io.StringIO()):  # lm-eval prints while it bootstraps
            found: dict[str, Any] = run_lm_eval(
                lm,
                {"tasks": dict(loaded.tasks), "groups": dict(loaded.groups)},
                limit=self.prepared.plan.selection.limit,
                bootstrap_iters=_BOOTSTRAPS,
                log_samples=True,
            )
        logged = found.pop("samples")
        found["n-too-long"] = {name: sum(task == name for task, _ in too_long) for name in loaded.tasks}
        store_task_scores(self.db, self.run, found, _docs(logged))

    def publish(self) -> None:
        """Do nothing: these runs are not ranked."""


def _complete(queue: RequestQueue[TaskRequest], requests: Sequence[TaskRequest]) -> None:
    queue.wait_for_room()
    queue.complete(select_missing(requests, {}))


def _refuse_missing(requests: Sequence[TaskRequest]) -> Mapping[str, Completion]:
    """Return nothing for no request; while lm-eval scores, all completions are stored."""
    if requests:
        raise EngineFailed(f"{len(requests)} requests of lm-eval were not asked: please report this")
    return {}


def _leave_out(name: str, task: Any, too_long: set[tuple[str, int]]) -> None:
    """Let lm-eval score only documents whose prompts fit; it would count a missing answer as the first choice."""
    whole: Callable[..., Iterator[tuple[int, Any]]] = task.doc_iterator

    def fitting(**words: Any) -> Iterator[tuple[int, Any]]:
        kept = [(at, doc) for at, doc in whole(**words) if (name, at) not in too_long]
        if not kept:
            raise BadInput(f"no prompt of the task {name} fits the context of the model: nothing can be scored")
        return iter(kept)

    task.doc_iterator = fitting


def _docs(logged: Mapping[str, list[dict[str, Any]]]) -> Iterator[TaskDoc]:
    """Yield each document once, with lm-eval's scores under each filter."""
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
