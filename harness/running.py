"""Do what `fathom run` asks for."""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console
from sqlalchemy import Engine as Database

from harness.adapter import adapted, bare_name
from harness.console import make_console, print_json
from harness.db.endings import count_cut
from harness.db.engine import open_database
from harness.db.read import RunDetail, get_run
from harness.db.task_records import TaskRunDetail
from harness.engines.base import EngineSetup
from harness.engines.open import check_engine
from harness.engines.options import check_setup, holds
from harness.engines.oracle import oracle_kind
from harness.errors import BadInput, EngineFailed, Interrupted
from harness.format import count, percent, plural
from harness.manner import cut_text, manner_text
from harness.meant import any_run
from harness.measuring import measure_run
from harness.model import ModelSource, find_model, served_model
from harness.progress import RunProgress, StderrHandler
from harness.prompting import Decoding, Prompting, read_sampling
from harness.provenance import How, read_setup
from harness.report import render_run, run_json
from harness.run import Outcome, Plan, evaluate
from harness.stock_plan import Asking, StockPlan, check_answers_tasks
from harness.suite import Selection, open_suite
from harness.thinking import settle
from tasks.base import SCORED

_PLAIN = EngineSetup()


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user typed after `fathom run`."""

    model: str | None
    engine: str
    seed: str | None
    suite: str
    selection: Selection
    prompting: Prompting
    decoding: Decoding
    setup: EngineSetup
    revision: str | None
    resume: str | None = None
    asking: Asking = field(default_factory=lambda: Asking(()))
    """Of lm-eval's own tasks; without names, the suite is meant."""


def run(wish: Wish, database: str, as_json: bool) -> int:
    """Evaluate, then print a table or JSON; return the exit code."""
    log_to = [StderrHandler()]
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", handlers=log_to)
    talk = make_console(stderr=as_json)
    check_engine(wish.engine)
    if wish.resume is not None:
        return _resume(wish, wish.resume, database, as_json)
    if wish.asking.tasks:
        from harness.stock_running import run_tasks

        return run_tasks(_stock_plan(wish), open_database(database, create=True), as_json)
    plan = make_plan(wish, talk)
    return _evaluate(plan, open_database(database, create=True), talk, as_json)


def _resume(wish: Wish, run: str, database: str, as_json: bool) -> int:
    talk = make_console(stderr=as_json)
    db = open_database(database, create=False)
    detail = any_run(db, run)
    if isinstance(detail, TaskRunDetail):
        from harness.stock_running import resume_tasks

        return resume_tasks(db, detail, (wish.asking, wish.setup), as_json)
    plan = plan_again(detail, wish.setup)
    if detail.summary.state == "done" and detail.summary.n_done == detail.summary.n_samples and not _errors(detail):
        talk.print(f"run {detail.summary.run} is done; nothing is missing")
        _print(db, detail, as_json)
        return 0
    return _evaluate(plan, db, talk, as_json)


def _errors(detail: RunDetail) -> int:
    return sum(cell.n_errors for cell in detail.cells)


def make_plan(wish: Wish, talk: Console) -> Plan:
    """Find the model and the cells that are wished for, and say what is left out.

    Raises:
        BadInput: there is none such, or it cannot be asked so.
    """
    suite = open_suite(wish.suite, wish.seed if wish.seed is not None else secrets.token_hex(8), wish.selection)
    check_setup(wish.engine, wish.setup)
    wish.prompting.check()
    wish.decoding.check(())
    scored = [cell.style for cell in suite.cells if cell.style in SCORED]
    if wish.decoding.repeats > 1 and scored:
        named = " or ".join(dict.fromkeys(scored))
        suite = suite.without(SCORED)
        talk.print(
            f"{plural(len(scored), 'cell')} of the style {named} left out: candidates are scored, so that asking again "
            "gives the same; a run without --repeats asks them",
            soft_wrap=True,
        )
    model = named_model(wish.model, wish.engine, wish.revision, wish.setup)
    decoding = settle(model, wish.prompting, wish.decoding)
    return Plan(model, wish.engine, suite, None, wish.prompting, decoding, wish.setup)


def _stock_plan(wish: Wish) -> StockPlan:
    check_answers_tasks(wish.engine)
    check_setup(wish.engine, wish.setup)
    model = named_model(wish.model, wish.engine, wish.revision, wish.setup)
    decoding = settle(model, wish.prompting, wish.decoding)
    how = How(wish.engine, wish.prompting, decoding, wish.setup)
    return StockPlan(model, how, replace(wish.asking, decoding=decoding))


def named_model(name: str | None, engine: str, revision: str | None, setup: EngineSetup = _PLAIN) -> ModelSource:
    """Find the model that an engine is to answer with, with the adapter that its setup names.

    Raises:
        BadInput: no name; see also harness.model.find_model.
    """
    if holds(engine, setup.options) == "oracle":
        kind = oracle_kind(name or "oracle")
        return ModelSource(f"oracle/{kind}", None, f"oracle/{kind}")
    if not name:
        raise BadInput("say which model: --model reference/pebble, a folder, or a hub id (org/name)")
    if engine == "openai":
        return served_model(name)
    lora = setup.options.get("lora")
    return find_model(name, revision) if lora is None else adapted(find_model(name, revision), Path(lora))


def model_again(name: str, engine: str, revision: str | None, setup: EngineSetup) -> ModelSource:
    """Find the model of a run that is to go on, by its stored name; its adapter may have moved.

    Raises:
        BadInput: as `named_model`, or an option that the engine does not take.
    """
    check_setup(engine, setup)
    bare = bare_name(name) if "lora" in setup.options else name
    return replace(named_model(bare, engine, revision, setup), name=name)


def plan_again(detail: RunDetail, now: EngineSetup) -> Plan:
    """Go on as before, but with those options of the engine that only place it as they are now."""
    one = detail.summary
    prompting, decoding = read_sampling(detail.manifest["decisive"]["sampling"])
    setup = read_setup(detail.manifest, now)
    model = model_again(one.model, one.engine, detail.manifest["context"].get("revision"), setup)
    return Plan(model, one.engine, detail.suite, one.run, prompting, decoding, setup)


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
