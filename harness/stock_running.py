"""Do what `fathom run --tasks` asks for."""

from sqlalchemy import Engine as Database

from harness.console import make_console, print_json
from harness.db.task_records import TaskRunDetail, get_task_run
from harness.engines.base import EngineSetup
from harness.format import count, plural
from harness.progress import RunProgress
from harness.provenance import How, read_setup
from harness.run import Outcome
from harness.running import STOPPED, attempt, model_again
from harness.settings import quiet_lm_eval
from harness.stock_plan import Asking, StockPlan, read_asking
from harness.stock_report import render_task_run, task_run_json


def run_tasks(plan: StockPlan, db: Database, as_json: bool) -> int:
    """Evaluate, then print a table or JSON; return the exit code."""
    talk = make_console(stderr=as_json)
    talk.file = talk.file  # from here on it holds the stream itself, and not whatever stands in for it
    quiet_lm_eval()
    from harness.stock import evaluate_tasks, prepare

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
    _print(get_task_run(db, outcome.run), as_json)
    return 0


def resume_tasks(db: Database, detail: TaskRunDetail, now: tuple[Asking, EngineSetup], as_json: bool) -> int:
    """Go on with a run as it was started, but with the folders and the placement of `now` where it names any."""
    one = detail.summary
    if one.state == "done":
        make_console(stderr=as_json).print(f"run {one.run} is done; nothing is missing")
        _print(detail, as_json)
        return 0
    asking = read_asking(detail.settings, now[0].include_paths)
    setup = read_setup(detail.manifest, now[1])
    how = How(one.engine, asking.prompting, asking.decoding, setup)
    model = model_again(one.model, one.engine, detail.manifest["context"].get("revision"), setup)
    return run_tasks(StockPlan(model, how, asking, one.run), db, as_json)


def _print(detail: TaskRunDetail, as_json: bool) -> None:
    if as_json:
        print_json(task_run_json(detail))
    else:
        make_console().print(render_task_run(detail))
