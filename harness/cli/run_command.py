"""Run what `fathom run` asks for, and print how it went."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from sqlalchemy import Engine as Database

from fathom.harness.db.engine import open_database
from fathom.harness.db.find import any_run
from fathom.harness.db.read import get_run, get_task_run
from fathom.harness.db.samples import count_cut
from fathom.harness.engines.base import EngineSettings
from fathom.harness.errors import EngineFailed, Interrupted
from fathom.harness.format import count, percent, plural
from fathom.harness.records import RunDetail, TaskRunDetail
from fathom.harness.reports.console import RunProgress, StderrHandler, make_console, print_json
from fathom.harness.reports.describe import cut_text, settings_text
from fathom.harness.reports.measures import measure_run
from fathom.harness.reports.terminal import render_run, render_task_run, run_json, task_run_json
from fathom.harness.runs.evaluate import Outcome, evaluate
from fathom.harness.runs.plan import Plan, TaskPlan, resume_plan, resume_task_plan
from fathom.harness.settings import quiet_lm_eval

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


def run_suite(plan: Plan, output: Output) -> int:
    """Evaluate a model on a suite, then print a table or JSON; return the exit code."""
    _log_to_stderr()
    return _evaluate(plan, open_database(output.database, create=True), output)


def resume(run: str, engine: EngineSettings, folders: tuple[str, ...], output: Output) -> int:
    """Go on with a stored run as it was started, on the machines that `engine` names; return the exit code.

    `folders` replace those in which a run of lm-eval's tasks found its tasks, if there are any.
    """
    _log_to_stderr()
    db = open_database(output.database, create=False)
    detail = any_run(db, run)
    if isinstance(detail, TaskRunDetail):
        return _resume_tasks(db, detail, (engine, folders), output)
    plan = resume_plan(detail, engine)
    n_errors = sum(cell.n_errors for cell in detail.cells)
    if detail.summary.state == "done" and detail.summary.n_done == detail.summary.n_samples and not n_errors:
        output.tell(f"run {detail.summary.run} is done; nothing is missing")
        _print_run(db, detail, output)
        return 0
    return _evaluate(plan, db, output)


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", handlers=[StderrHandler()])


def _evaluate(plan: Plan, db: Database, output: Output) -> int:
    talk, suite, sampling = output.console(), plan.suite, plan.settings.sampling
    again = f", each answered {sampling.repeats} times" if sampling.repeats > 1 else ""
    heat = "" if sampling.temperature is None else f", temperature {sampling.temperature:g}"
    talk.print(
        f"{plan.model.name} on {suite.name} {suite.version}, seed {suite.seed}: "
        f"{count(suite.n_items)} items in {len(suite.cells)} cells{again}, engine {plan.settings.engine.name}{heat}",
        soft_wrap=True,
    )
    if sampling.thinking is not None:
        talk.print(settings_text(plan.settings, suite.cells), soft_wrap=True)

    def work() -> Outcome:
        sizes = [cell.n * sampling.repeats for cell in suite.cells]
        with RunProgress(talk, sizes, unit="answer" if again else "item") as progress:
            return evaluate(plan, db, progress)

    outcome = _attempt(talk, db, work)
    if outcome is None:
        return STOPPED
    _print_run(db, get_run(db, outcome.run), output)
    if not output.as_json and (cut := cut_text(count_cut(db, outcome.run))):
        talk.print(cut, style="yellow", highlight=False)
    return 0


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
    measures = measure_run(db, detail)
    if output.as_json:
        print_json(run_json(detail, measures=measures))
    else:
        make_console().print(render_run(detail, measures))


def run_tasks(plan: TaskPlan, output: Output) -> int:
    """Evaluate a model on lm-eval's own tasks, then print a table or JSON; return the exit code."""
    _log_to_stderr()
    return _evaluate_tasks(plan, open_database(output.database, create=True), output)


def _evaluate_tasks(plan: TaskPlan, db: Database, output: Output) -> int:
    talk = output.console()
    talk.file = talk.file  # keep the stream itself: sys.stdout is replaced while tasks are loaded
    quiet_lm_eval()
    from fathom.harness.runs.lm_eval_tasks.evaluation import prepare_tasks

    with talk.status("building"):
        prepared = prepare_tasks(plan)
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
            return evaluate(prepared, db, progress)

    outcome = _attempt(talk, db, work)
    if outcome is None:
        return STOPPED
    _print_tasks(get_task_run(db, outcome.run), output)
    return 0


def _resume_tasks(
    db: Database, detail: TaskRunDetail, now: tuple[EngineSettings, tuple[str, ...]], output: Output
) -> int:
    one = detail.summary
    if one.state == "done":
        output.tell(f"run {one.run} is done; nothing is missing")
        _print_tasks(detail, output)
        return 0
    return _evaluate_tasks(resume_task_plan(detail, *now), db, output)


def _print_tasks(detail: TaskRunDetail, output: Output) -> None:
    if output.as_json:
        print_json(task_run_json(detail))
    else:
        make_console().print(render_task_run(detail))
