"""One run from the command line: its progress, its result, and its exit code."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Console
from sqlalchemy import Engine as Database

from fathom.harness.cli.options import open_store
from fathom.harness.db.read import any_run
from fathom.harness.engines.base import EngineSettings
from fathom.harness.errors import EngineFailed, Interrupted
from fathom.harness.format import count, percent, plural
from fathom.harness.records import RunDetail, TaskRunDetail
from fathom.harness.reports.console import RunProgress, StderrHandler, make_console, print_json, print_notes
from fathom.harness.reports.cost import cost_of_run, cost_text
from fathom.harness.reports.depths import DepthProgress, render_depths
from fathom.harness.reports.describe import notes_on, settings_text
from fathom.harness.reports.measures import measure_run
from fathom.harness.reports.terminal import render_run, render_task_run, run_json, task_run_json
from fathom.harness.runs.evaluate import EngineKeeper, Outcome, evaluate
from fathom.harness.runs.ladders import open_ladders
from fathom.harness.runs.plan import Plan, TaskPlan, resume_plan, resume_task_plan
from fathom.harness.settings import quiet_lm_eval
from fathom.tasks.base import PARAMETRIC
from fathom.tasks.suite_tables import ADAPTIVE

if TYPE_CHECKING:  # it imports lm-eval
    from fathom.harness.runs.lm_eval_tasks.evaluation import PreparedTasks

STOPPED = 130
"""Exit code where the user stopped a run."""


@dataclass(frozen=True, slots=True)
class Output:
    """Where a run is stored, and how its result is printed."""

    database: str
    as_json: bool

    def console(self) -> Console:
        """Return the console for what is said meanwhile; JSON has the standard output to itself."""
        return make_console(stderr=self.as_json)

    def tell(self, text: str) -> None:
        """Print a remark on one line."""
        self.console().print(text, soft_wrap=True)


def log_to_stderr() -> None:
    """Print warnings on the standard error, each on a line."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", handlers=[StderrHandler()])


def run_suite(plan: Plan, output: Output) -> int:
    """Evaluate a model on a suite, then print a table or JSON; return the exit code."""
    log_to_stderr()
    return _run_and_print(plan, open_store(output.database, create=True), output)


def continue_run(run: str, engine: EngineSettings, folders: tuple[str, ...], output: Output) -> int:
    """Go on with a stored run as it was started, on the machines that `engine` names; return the exit code.

    `folders` replace those in which a run of lm-eval's tasks found its tasks, if there are any.
    """
    log_to_stderr()
    db = open_store(output.database, create=False)
    detail = any_run(db, run)
    if isinstance(detail, TaskRunDetail):
        return _resume_tasks(db, detail, (engine, folders), output)
    plan = resume_plan(detail, engine)
    if is_complete(detail):
        output.tell(f"run {detail.summary.run} is done; nothing is missing")
        _print_run(db, detail, output)
        return 0
    return _run_and_print(plan, db, output)


def is_complete(detail: RunDetail | TaskRunDetail) -> bool:
    """Return whether a run is done with every answer; one on which the engine failed is asked again."""
    one = detail.summary
    if isinstance(detail, TaskRunDetail) or one.state != "done":
        return one.state == "done"
    return detail.summary.n_done == detail.summary.n_samples and not any(cell.n_errors for cell in detail.cells)


def _run_and_print(plan: Plan, db: Database, output: Output) -> int:
    run = attempt_suite(plan, db, output)
    if run is None:
        return STOPPED
    print_result(db, run, output)
    return 0


def print_result(db: Database, run: str, output: Output) -> None:
    """Print a run of either kind as a table, with notes on it, or as JSON."""
    detail = any_run(db, run)
    if isinstance(detail, TaskRunDetail):
        _print_tasks(detail, output)
        return
    _print_run(db, detail, output)
    print_notes(output.console(), notes_on(db, detail))


def attempt_suite(plan: Plan, db: Database, output: Output, keeper: EngineKeeper | None = None) -> str | None:
    """Evaluate a model on a suite, with its progress; return the run, or None where the user stopped it.

    Raises:
        FathomError: as `runs.evaluate` does, after it was said how to go on.
    """
    talk, suite, sampling = output.console(), plan.suite, plan.settings.sampling
    if plan.prompt_format is not None and plan.resume is None:
        make_console(stderr=True).print(plan.prompt_format.text(), soft_wrap=True, highlight=False)
    is_adaptive, size = suite.name in ADAPTIVE, f"{count(suite.n_items)} items in {len(suite.cells)} cells"
    if is_adaptive:
        size = f"{plural(len(open_ladders(suite)), 'ladder')}, {count(suite.n_items)} items at most"
    again = f", each answered {sampling.repeats} times" if sampling.repeats > 1 else ""
    heat = "" if sampling.temperature is None else f", temperature {sampling.temperature:g}"
    talk.print(
        f"{plan.model.name} on {suite.name} {suite.version}, seed {suite.seed}: {size}{again}, "
        f"engine {plan.settings.engine.name}{heat}",
        soft_wrap=True,
    )
    if sampling.thinking is not None:
        talk.print(settings_text(plan.settings, suite.cells), soft_wrap=True)

    def work() -> Outcome:
        if is_adaptive:
            with DepthProgress(talk, suite) as rulers:
                return evaluate(plan, db, rulers, keeper)
        sizes = [cell.n * sampling.repeats for cell in suite.cells]
        with RunProgress(talk, sizes, unit="answer" if again else "item") as progress:
            return evaluate(plan, db, progress, keeper)

    outcome = _attempt(talk, db, work)
    return None if outcome is None else outcome.run


def _attempt(talk: Console, db: Database, work: Callable[[], Outcome]) -> Outcome | None:
    """Do the work of a run and say how it ended, or how to go on; None where the user stopped it."""
    try:
        outcome = work()
    except KeyboardInterrupt as stop:
        run = stop.run if isinstance(stop, Interrupted) else None
        talk.print(f"stopped; what was generated is stored. {_how_to_resume(db, run)}", soft_wrap=True)
        return None
    except EngineFailed as error:
        said = f"the run is stored as failed, with its log (fathom show). {_how_to_resume(db, error.run)}"
        talk.print(said, soft_wrap=True)
        raise
    talk.print(
        f"run {outcome.run}: {count(outcome.n_generated)} generated, "
        f"{count(outcome.n_recalled)} recalled from the journal{_cached(outcome)}",
        soft_wrap=True,
    )
    return outcome


def _cached(outcome: Outcome) -> str:
    if not outcome.n_cached_tokens:
        return ""
    share = percent(outcome.n_cached_tokens / outcome.n_prompt_tokens, 0)
    return f"; {share} of the prompts' tokens came from the prefix cache"


def _how_to_resume(db: Database, run: str | None) -> str:
    if run is None:
        return "Nothing was started yet."
    where = db.url.database if db.dialect.name == "sqlite" else db.url.render_as_string(hide_password=True)
    return f"Go on with: fathom run --resume {run} --db {where}"


def _print_run(db: Database, detail: RunDetail, output: Output) -> None:
    is_trained = any(cell.style in PARAMETRIC for cell in detail.cells)  # only such cells have measures
    measures = measure_run(db, detail) if is_trained else ()
    cost = None if detail.summary.engine == "oracle" else cost_of_run(db, detail)  # it stands in for a model
    if output.as_json:
        print_json(run_json(detail, measures=measures, cost=cost))
    elif detail.summary.layer == "adaptive":
        make_console().print(render_depths(detail))
        if cost is not None:
            make_console().print(cost_text(cost), soft_wrap=True, markup=False)
    else:
        make_console().print(render_run(detail, measures, cost=cost))


def run_tasks(plan: TaskPlan, output: Output) -> int:
    """Evaluate a model on lm-eval's own tasks, then print a table or JSON; return the exit code."""
    log_to_stderr()
    return _run_and_print_tasks(plan, open_store(output.database, create=True), output)


def _run_and_print_tasks(plan: TaskPlan, db: Database, output: Output) -> int:
    run = attempt_tasks(load_tasks(plan, output), db, output)
    if run is None:
        return STOPPED
    print_result(db, run, output)
    return 0


def load_tasks(plan: TaskPlan, output: Output) -> "PreparedTasks":
    """Load lm-eval's tasks and build their requests.

    Raises:
        UnknownTask, BadInput: no such task, or one that the engine cannot answer.
    """
    talk = output.console()
    talk.file = talk.file  # keep the stream itself: sys.stdout is replaced while tasks are loaded
    quiet_lm_eval()
    from fathom.harness.runs.lm_eval_tasks.evaluation import prepare_tasks

    with talk.status("building"):
        return prepare_tasks(plan)


def attempt_tasks(
    prepared: "PreparedTasks", db: Database, output: Output, keeper: EngineKeeper | None = None
) -> str | None:
    """Evaluate a model on lm-eval's own tasks, with its progress; return the run, or None where the user stopped it.

    Raises:
        FathomError: as `runs.evaluate` does, after it was said how to go on.
    """
    talk, plan = output.console(), prepared.plan
    talk.print(
        f"{plan.model.name} on {plural(len(prepared.sizes), 'task')} of lm-eval: "
        f"{count(len(prepared.requests))} requests, engine {plan.settings.engine.name}",
        soft_wrap=True,
    )
    if (thinking := plan.settings.sampling.thinking) is not None:
        talk.print(
            f"a thought ends with {thinking.end} and takes {count(thinking.budget)} tokens at most; what follows it is "
            "scored, and a thought without an end as an empty answer",
            soft_wrap=True,
        )

    def work() -> Outcome:
        with RunProgress(talk, list(prepared.sizes.values()), "task") as progress:
            return evaluate(prepared, db, progress, keeper)

    outcome = _attempt(talk, db, work)
    return None if outcome is None else outcome.run


def _resume_tasks(
    db: Database, detail: TaskRunDetail, now: tuple[EngineSettings, tuple[str, ...]], output: Output
) -> int:
    one = detail.summary
    if one.state == "done":
        output.tell(f"run {one.run} is done; nothing is missing")
        _print_tasks(detail, output)
        return 0
    return _run_and_print_tasks(resume_task_plan(detail, *now), db, output)


def _print_tasks(detail: TaskRunDetail, output: Output) -> None:
    if output.as_json:
        print_json(task_run_json(detail))
    else:
        make_console().print(render_task_run(detail))
