"""Turn a call from Python into a stored run, as `fathom run` does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Engine as Database

from harness.console import make_console
from harness.engines.base import EngineSetup
from harness.engines.open import check_engine
from harness.errors import FathomError, Interrupted
from harness.meant import find_run
from harness.notebook import Run
from harness.progress import RunProgress
from harness.prompting import Decoding, Prompting, ShotsAs, Thinking, known_shots_as
from harness.run import Plan
from harness.run import evaluate as evaluate_plan
from harness.running import Wish, make_plan, plan_again
from harness.stores import Store
from harness.suite import Selection
from harness.ticks import Report

Names = str | Sequence[str]
"""One name, or several."""


def evaluate(  # one parameter an option, as `fathom run` has them
    model: str | Path | None = None,
    *,
    suite: str = "quick",
    engine: str = "vllm",
    seed: int | str | None = None,
    families: Names = (),
    levels: Names = (),
    channels: Names = (),
    styles: Names = (),
    n: int | None = None,
    shots: int = 0,
    chat: bool = False,
    system: str = "",
    shots_as: ShotsAs = "turns",
    template_options: Mapping[str, Any] | None = None,
    repeats: int = 1,
    temperature: float | None = None,
    budgets: Mapping[str, int] | None = None,
    think_budget: int | None = None,
    think_marks: tuple[str, str] | None = None,
    dtype: str = "auto",
    revision: str | None = None,
    engine_args: Mapping[str, Any] | None = None,
    db: str | Path | None = None,
    resume: str | None = None,
    progress: bool | Report = True,
) -> Run:
    """Evaluate a model on a suite as `fathom run` does, and return the stored run.

    It blocks until the run is done, also in a notebook, and leaves no model loaded. `engine_args` go by the engine's
    own names (`tensor_parallel_size`, `base_url`, `lora` ...). `db` is a file or a URL, by default FATHOM_DB or
    ./fathom.db; ":memory:" keeps nothing. A run that was cut off goes on with `resume` alone, or its `db` as well.

    >>> from harness import evaluate
    >>> run = evaluate("oracle/perfect", engine="oracle", families=["depo"], n=2, seed=7, db=":memory:", progress=False)
    >>> run.cells[["level", "style", "k", "n"]].head(2)
      level   style  k  n
    0  n4k1  direct  2  2
    1  n4k2  direct  2  2
    >>> run.samples.groupby("label").size().to_dict()
    {'correct': 36}

    Raises:
        BadInput: what is asked for cannot be done; harness.errors lists the kinds.
        EngineFailed: the engine broke. The run is stored as failed, and can be resumed.
    """
    check_engine(engine)
    store = Store.at(db)
    setup = EngineSetup(dtype, dict(engine_args or {}))
    with store.opened(create=True) as opened:
        if resume is not None:
            plan = plan_again(find_run(opened, resume), setup)
        else:
            chosen = Selection(_names(families), _names(levels), _names(channels), _names(styles), n)
            put = Prompting(shots, chat, system, known_shots_as(shots_as), dict(template_options or {}))
            drawn = Decoding(repeats, temperature, dict(budgets or {}), _thinking(think_budget, think_marks))
            say = make_console(stderr=True, quiet=progress is not True)
            plan = make_plan(Wish(_text(model), engine, _text(seed), suite, chosen, put, drawn, setup, revision), say)
        return Run(_evaluated(plan, opened, progress), store)


def _text(given: object) -> str | None:
    return None if given is None else str(given)


def _names(given: Names) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _thinking(budget: int | None, marks: tuple[str, str] | None) -> Thinking | None:
    if budget is None and marks is None:
        return None
    found = ("", "") if marks is None else marks
    return Thinking(*found) if budget is None else Thinking(*found, budget)


def _evaluated(plan: Plan, db: Database, progress: bool | Report) -> str:
    try:
        if callable(progress):
            return evaluate_plan(plan, db, progress).run
        if not progress:
            return evaluate_plan(plan, db).run
        sizes = [cell.n * plan.decoding.repeats for cell in plan.suite.cells]
        with RunProgress(make_console(stderr=True), sizes) as shown:
            return evaluate_plan(plan, db, shown).run
    except (FathomError, Interrupted) as error:
        if error.run is not None:
            error.add_note(f"go on with: evaluate(resume={error.run!r})")
        raise
