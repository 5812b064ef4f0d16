"""Several runs of one call: one after another, each continued where it was left, failures told at the end."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.table import Table
from rich.text import Text
from sqlalchemy import Engine as Database

from fathom.harness.cli.attempt import (
    STOPPED,
    Output,
    attempt_suite,
    attempt_tasks,
    is_complete,
    load_tasks,
    log_to_stderr,
    print_result,
)
from fathom.harness.cli.options import open_store
from fathom.harness.db.find import run_of_manifest
from fathom.harness.db.read import any_run
from fathom.harness.errors import FathomError
from fathom.harness.format import plural
from fathom.harness.records import RunDetail
from fathom.harness.reports.console import make_console, print_json
from fathom.harness.reports.cost import cost_of_run
from fathom.harness.reports.terminal import run_json, task_run_json
from fathom.harness.runs.evaluate import EngineKeeper
from fathom.harness.runs.manifest import make_manifest
from fathom.harness.runs.plan import Plan, TaskPlan
from fathom.tasks.errors import TaskError

_BAD_INPUT = 2


@dataclass(frozen=True, slots=True)
class _Result:
    """How one plan ended; `run` is empty where nothing was started."""

    model: str
    asked: str
    run: str
    said: str
    code: int = 0


def run_batch(plans: Sequence[Plan | TaskPlan], output: Output) -> int:
    """Carry out plans one after another; return 0, 130 where the user stopped, else the code of the worst failure.

    The engine of a model stays loaded for its next seed. A plan that is complete in the database is not run again, and
    one that was interrupted goes on: what it measures decides, by the digest of its manifest.
    """
    log_to_stderr()
    db, talk = open_store(output.database, create=True), output.console()
    results: list[_Result] = []
    with EngineKeeper() as keeper:
        for at, plan in enumerate(plans, 1):
            if len(plans) > 1:
                talk.print(f"run {at} of {len(plans)}", style="bold")
            results.append(_carry_out(plan, db, output, keeper))
            if results[-1].code == STOPPED:
                break
    _print(results, len(plans), db, output)
    codes = {one.code for one in results}
    return STOPPED if STOPPED in codes else max(codes)


def _carry_out(plan: Plan | TaskPlan, db: Database, output: Output, keeper: EngineKeeper) -> _Result:
    asked = f"{plan.suite.name}, seed {plan.suite.seed}" if isinstance(plan, Plan) else ", ".join(plan.selection.tasks)
    named = _Result(plan.model.name, asked, "", "")
    try:
        run, said = _continued(plan, db, output, keeper)
    except (FathomError, TaskError) as error:
        code = error.exit_code if isinstance(error, FathomError) else _BAD_INPUT
        run = (error.run if isinstance(error, FathomError) else None) or ""
        output.console().print(f"failed: {error}", style="red", soft_wrap=True, markup=False)
        return replace(named, run=run, said=f"failed: {error}", code=code)
    if run is None:
        return replace(named, said="stopped", code=STOPPED)
    return replace(named, run=run, said=said)


def _continued(plan: Plan | TaskPlan, db: Database, output: Output, keeper: EngineKeeper) -> tuple[str | None, str]:
    """Run a plan, or what is missing of it; return the run, None where the user stopped it, and what was done."""
    if isinstance(plan, Plan):
        digest = make_manifest(plan.model, plan.suite, plan.settings, prompt_format=plan.prompt_format).digest()
    else:
        prepared = load_tasks(plan, output)
        digest = prepared.manifest.digest()
    same = run_of_manifest(db, digest)
    if same is not None and is_complete(any_run(db, same)):
        output.tell(f"run {same} is complete already")
        return same, "was complete"
    said = "done" if same is None else "continued, done"
    if isinstance(plan, Plan):
        return attempt_suite(replace(plan, resume=same), db, output, keeper), said
    return attempt_tasks(replace(prepared, plan=replace(plan, resume=same)), db, output, keeper), said


def _print(results: Sequence[_Result], n_plans: int, db: Database, output: Output) -> None:
    """Print the only run as `fathom run` does, and of several a line each; as JSON, what `fathom show` prints."""
    if output.as_json and n_plans > 1:
        details = [any_run(db, one.run) for one in results if one.run]
        print_json(
            [run_json(one, cost=cost_of_run(db, one)) if isinstance(one, RunDetail) else task_run_json(one)
             for one in details]
        )  # fmt: skip
    if n_plans == 1:
        for one in results:
            if one.code == 0:
                print_result(db, one.run, output)
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("model", "asked", "run", "outcome"):
        table.add_column(name, header_style="dim", overflow="fold")
    for result in results:
        table.add_row(*(Text(text) for text in (result.model, result.asked, result.run, result.said)))
    talk = output.console() if output.as_json else make_console()
    talk.print(table)
    n_failed, n_left = sum(one.code not in (0, STOPPED) for one in results), n_plans - len(results)
    if n_failed or n_left:
        said = f"{plural(n_failed, 'run')} of {n_plans} failed" + (f", {n_left} not begun" if n_left else "")
        talk.print(f"{said}: the same call goes on with what is missing", style="yellow")
