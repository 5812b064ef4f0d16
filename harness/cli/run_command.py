"""Do what `fathom run` asks for."""

import logging
from collections.abc import Callable

from rich.console import Console
from sqlalchemy import Engine as Database

from fathom.harness.db.engine import open_database
from fathom.harness.db.find import any_run
from fathom.harness.db.read import get_run
from fathom.harness.db.samples import count_cut
from fathom.harness.db.task_runs.read import TaskRunDetail, get_task_run
from fathom.harness.engines.base import EngineSetup
from fathom.harness.engines.factory import check_engine
from fathom.harness.errors import EngineFailed, Interrupted
from fathom.harness.format import count, percent, plural
from fathom.harness.records import RunDetail
from fathom.harness.reports.console import RunProgress, StderrHandler, make_console, print_json
from fathom.harness.reports.describe import cut_text, manner_text
from fathom.harness.reports.measures import measure_run
from fathom.harness.reports.task_terminal import render_task_run, task_run_json
from fathom.harness.reports.terminal import render_run, run_json
from fathom.harness.runs.evaluate import Outcome, evaluate
from fathom.harness.runs.manifest import How, read_setup
from fathom.harness.runs.plan import (
    Asking,
    Plan,
    StockPlan,
    Wish,
    _stock_plan,
    make_plan,
    model_again,
    plan_again,
    read_asking,
)
from fathom.harness.settings import quiet_lm_eval


def run(wish: Wish, database: str, as_json: bool) -> int:
    """Evaluate, then print a table or JSON; return the exit code."""
    log_to = [StderrHandler()]
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", handlers=log_to)
    talk = make_console(stderr=as_json)
    check_engine(wish.engine)
    if wish.resume is not None:
        return _resume(wish, wish.resume, database, as_json)
    if wish.asking.tasks:
        return run_tasks(_stock_plan(wish), open_database(database, create=True), as_json)
    plan = make_plan(wish, talk)
    return _evaluate(plan, open_database(database, create=True), talk, as_json)


def _resume(wish: Wish, run: str, database: str, as_json: bool) -> int:
    talk = make_console(stderr=as_json)
    db = open_database(database, create=False)
    detail = any_run(db, run)
    if isinstance(detail, TaskRunDetail):
        return resume_tasks(db, detail, (wish.asking, wish.setup), as_json)
    plan = plan_again(detail, wish.setup)
    if detail.summary.state == "done" and detail.summary.n_done == detail.summary.n_samples and not _errors(detail):
        talk.print(f"run {detail.summary.run} is done; nothing is missing")
        _print(db, detail, as_json)
        return 0
    return _evaluate(plan, db, talk, as_json)


def _errors(detail: RunDetail) -> int:
    return sum(cell.n_errors for cell in detail.cells)


def _evaluate(plan: Plan, db: Database, talk: Console, as_json: bool) -> int:
    suite, decoding = plan.suite, plan.decoding
    again = f", each answered {decoding.repeats} times" if decoding.repeats > 1 else ""
    heat = "" if decoding.temperature is None else f", temperature {decoding.temperature:g}"
    talk.print(
        f"{plan.model.name} on {suite.name} {suite.version}, seed {suite.seed}: "
        f"{count(suite.n_items)} items in {len(suite.cells)} cells{again}, engine {plan.engine}{heat}",
        soft_wrap=True,
    )
    if plan.decoding.thinking is not None:
        talk.print(manner_text(plan.prompting, plan.decoding, suite.cells), soft_wrap=True)

    def work() -> Outcome:
        sizes = [cell.n * decoding.repeats for cell in suite.cells]
        with RunProgress(talk, sizes, thing="answer" if again else "item") as progress:
            return evaluate(plan, db, progress)

    outcome = attempt(talk, db, work)
    if outcome is None:
        return STOPPED
    detail = get_run(db, outcome.run)
    _print(db, detail, as_json)
    if not as_json and (cut := cut_text(count_cut(db, outcome.run))):
        talk.print(cut, style="yellow", highlight=False)
    return 0


STOPPED = 130
"""Exit code where the user stopped a run."""


def attempt(talk: Console, db: Database, work: Callable[[], Outcome]) -> Outcome | None:
    """Do the work of a run and say what came of it, or how to go on; None where the user stopped it."""
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


def _print(db: Database, detail: RunDetail, as_json: bool) -> None:
    measures = measure_run(db, detail)
    if as_json:
        print_json(run_json(detail, measures=measures))
    else:
        make_console().print(render_run(detail, measures))


def run_tasks(plan: StockPlan, db: Database, as_json: bool) -> int:
    """Evaluate, then print a table or JSON; return the exit code."""
    talk = make_console(stderr=as_json)
    talk.file = talk.file  # from here on it holds the stream itself, and not whatever stands in for it
    quiet_lm_eval()
    from fathom.harness.runs.lm_eval_tasks.evaluate import evaluate_tasks, prepare

    with talk.status("building"):
        prepared = prepare(plan)
    talk.print(
        f"{plan.model.name} on {plural(len(prepared.sizes), 'task')} of lm-eval: "
        f"{count(prepared.n_requests)} requests, engine {plan.how.engine}",
        soft_wrap=True,
    )
    if (thinking := plan.how.decoding.thinking) is not None:
        talk.print(
            f"a thought ends with {thinking.end} and takes {count(thinking.budget)} tokens at most; what follows it is "
            "scored, and a thought without an end as an empty answer",
            soft_wrap=True,
        )

    def work() -> Outcome:
        with RunProgress(talk, list(prepared.sizes.values()), "task") as progress:
            return evaluate_tasks(prepared, db, progress)

    outcome = attempt(talk, db, work)
    if outcome is None:
        return STOPPED
    _print_tasks(get_task_run(db, outcome.run), as_json)
    return 0


def resume_tasks(db: Database, detail: TaskRunDetail, now: tuple[Asking, EngineSetup], as_json: bool) -> int:
    """Go on with a run as it was started, but with the folders and the placement of `now` where it names any."""
    one = detail.summary
    if one.state == "done":
        make_console(stderr=as_json).print(f"run {one.run} is done; nothing is missing")
        _print_tasks(detail, as_json)
        return 0
    asking = read_asking(detail.settings, now[0].include_paths)
    setup = read_setup(detail.manifest, now[1])
    how = How(one.engine, asking.prompting, asking.decoding, setup)
    model = model_again(one.model, one.engine, detail.manifest["context"].get("revision"), setup)
    return run_tasks(StockPlan(model, how, asking, one.run), db, as_json)


def _print_tasks(detail: TaskRunDetail, as_json: bool) -> None:
    if as_json:
        print_json(task_run_json(detail))
    else:
        make_console().print(render_task_run(detail))
