"""Turn words on the command line into the finished runs that are meant."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from fathom.harness.db import read
from fathom.harness.db.engine import translate_errors
from fathom.harness.db.schema.runs import ModelRow, RunRow, SuiteRow
from fathom.harness.db.sealing import check_unsealed
from fathom.harness.db.task_runs.read import TaskRunDetail, find_task_run
from fathom.harness.errors import NotComparable, UnknownModel, UnknownRun
from fathom.harness.format import plural, ratio
from fathom.harness.records import RunDetail

_AT_MOST = 6
"""Runs or names that an error lists."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that is done, and what it was asked."""

    run: str
    suite: str
    seed: str
    pool: str
    n_items: int


Sides = tuple[Sequence[Finished], Sequence[Finished]]


def any_run(db: Engine, run: str) -> RunDetail | TaskRunDetail:
    """Return a run of Fathom's own suites, or one of lm-eval's tasks, by its id or a beginning of it.

    Raises:
        UnknownRun: no run of either kind begins so, or several do.
    """
    try:
        return read.get_run(db, run)
    except UnknownRun:
        foreign = find_task_run(db, run)
        if foreign is None:
            raise
        return foreign


def shown_run(db: Engine, run: str) -> RunDetail:
    """Return a run whose items may be seen, by its id or a beginning of it.

    Raises:
        UnknownRun: no run begins so, or several do.
        SealedRun: its season is not over.
    """
    detail = read.get_run(db, run)
    check_unsealed(detail.summary.sealed, detail.summary.season)
    return detail


def open_run(db: Engine, run: str) -> RunDetail:
    """Return a run that may be compared, by its id or a beginning of it.

    Raises:
        UnknownRun: no run begins so, or several do.
        SealedRun: its season is not over.
        NotComparable: it is not whole, or has several answers to a question.
    """
    detail = read.get_run(db, run)
    check_comparable(detail)
    return detail


def check_comparable(detail: RunDetail) -> None:
    """Raise SealedRun or NotComparable, as `open_run` says."""
    one = detail.summary
    check_unsealed(one.sealed, one.season)
    if one.state != "done":
        raise NotComparable(
            f"run {one.run} of {one.model} is {one.state} at {ratio(one.n_done, one.n_samples)} answers: "
            f"`fathom run --resume {one.run}` makes it whole"
        )
    if one.n_repeats > 1:
        raise NotComparable(
            f"run {one.run} of {one.model} has {one.n_repeats} answers to a question, and the paired test takes one: "
            "run it without --repeats to compare it"
        )


def open_pair(db: Engine, first: str, second: str) -> tuple[RunDetail, RunDetail]:
    """Return the two runs that are meant by ids, beginnings of ids, or names of models.

    A model stands for its newest finished run of the suite and seed that both have, or of the same suite under
    another seed where there is none such.

    Raises:
        UnknownModel: no run and no model is called so.
        SealedRun, NotComparable: see open_run; or it is not clear which runs are meant.
    """
    words, sides = (first, second), (_meant(db, first), _meant(db, second))
    pairs = _shared(sides, lambda one: (one.pool, one.seed)) or _shared(sides, lambda one: (one.pool,))
    if not pairs and all(len(side) == 1 for side in sides):
        pairs = [(sides[0][0], sides[1][0])]
    if len(pairs) != 1:
        raise NotComparable(_unclear(words, sides, pairs))
    ((one, other),) = pairs
    if one.run == other.run:
        raise NotComparable(f"{first} and {second} both mean run {one.run}: name two runs, as `fathom runs` lists them")
    return open_run(db, one.run), open_run(db, other.run)


def _meant(db: Engine, word: str) -> Sequence[Finished]:
    if found := finished_runs(db, word):
        return found
    try:
        one = open_run(db, word)
    except UnknownRun as error:
        raise _unknown(db, word, error) from error
    return (Finished(one.summary.run, one.suite.name, one.suite.seed, one.pool, one.suite.n_items),)


def _unknown(db: Engine, word: str, error: UnknownRun) -> UnknownModel:
    near = get_close_matches(word, model_names(db), n=_AT_MOST, cutoff=0.4)
    hint = f" (near it: {', '.join(near)})" if near else ""
    return UnknownModel(f"no model {word[:80]!r} has a finished run{hint}, and {error}")


def find_run(db: Engine, word: str) -> RunDetail:
    """Return a run in whatever state by its id or a beginning of it; a model's name stands for its newest finished run.

    Raises:
        UnknownModel: no run and no model is called so.
    """
    if found := finished_runs(db, word):
        return read.get_run(db, found[0].run)
    try:
        return read.get_run(db, word)
    except UnknownRun as error:
        raise _unknown(db, word, error) from error


def _shared(sides: Sides, key: Callable[[Finished], tuple[str, ...]]) -> list[tuple[Finished, Finished]]:
    """Return the newest runs of both for each key that both have."""
    first, second = ({key(one): one for one in reversed(side)} for side in sides)
    return [(first[found], second[found]) for found in first if found in second]


def _unclear(words: tuple[str, str], sides: Sides, pairs: Sequence[tuple[Finished, Finished]]) -> str:
    if pairs:
        listed = [f"{one.run} {other.run} ({_asked(one)})" for one, other in pairs[:_AT_MOST]]
        return (
            f"{words[0]} and {words[1]} share {plural(len(pairs), 'suite')}; name two runs, "
            f"`fathom compare` and one of: {'; '.join(listed)}{_rest(len(pairs))}"
        )
    listed = [
        f"{word}: {'; '.join(f'{one.run} ({_asked(one)})' for one in side[:_AT_MOST])}{_rest(len(side))}"
        for word, side in zip(words, sides, strict=True)
    ]
    return f"no suite that both have finished; name two runs that share cells: {' / '.join(listed)}"


def _asked(one: Finished) -> str:
    return f"{one.suite}, seed {one.seed}, {plural(one.n_items, 'item')}"


def _rest(n: int) -> str:
    return f"; and {n - _AT_MOST} more" if n > _AT_MOST else ""


def finished_runs(db: Engine, model: str) -> tuple[Finished, ...]:
    """Return a model's finished runs, first those that stand on the board: by tier, the newest first."""
    best_first = (RunRow.tier.desc(), RunRow.created_at.desc(), RunRow.id)
    wanted = (
        select(RunRow.id, SuiteRow.name, SuiteRow.seed, SuiteRow.pool, RunRow.n_items)
        .join(SuiteRow, SuiteRow.id == RunRow.suite_id)
        .join(ModelRow, ModelRow.id == RunRow.model_id)
        .where(ModelRow.name == model, RunRow.state == "done", RunRow.layer == "main", RunRow.hidden_at.is_(None))
        .order_by(*best_first)
    )
    with translate_errors(), Session(db) as session:
        return tuple(Finished(*row) for row in session.execute(wanted))


def model_names(db: Engine) -> tuple[str, ...]:
    """Return the names of all models that have a finished run."""
    wanted = select(ModelRow.name).where(ModelRow.id.in_(select(RunRow.model_id).where(RunRow.state == "done")))
    with translate_errors(), Session(db) as session:
        return tuple(session.scalars(wanted.order_by(ModelRow.name)))
