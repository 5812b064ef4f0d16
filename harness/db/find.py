"""Find runs by what a user types: an id, the beginning of an id, or a model's name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from fathom.harness.db import read
from fathom.harness.db.engine import translate_errors
from fathom.harness.db.models import name_of_digest
from fathom.harness.db.schema.runs import OWN_TIER, ModelRow, RunRow, SuiteRow
from fathom.harness.db.seal import check_unsealed
from fathom.harness.engines.model import folder_digest
from fathom.harness.engines.model_name import is_folder
from fathom.harness.errors import NotComparable, UnknownModel, UnknownRun
from fathom.harness.format import plural, ratio
from fathom.harness.records import RunDetail

_AT_MOST = 6
"""Runs or names that an error lists."""


@dataclass(frozen=True, slots=True)
class _FinishedRun:
    """A finished run, and its suite."""

    run: str
    suite: str
    seed: str
    pool: str
    n_items: int


_Sides = tuple[Sequence[_FinishedRun], Sequence[_FinishedRun]]


def run_of_manifest(db: Engine, digest: str) -> str | None:
    """Return the run that measures what a manifest's digest says: a finished one, else the newest; None without any.

    Only runs of `fathom run` count, on this or another machine; those that were sent to a board have other tiers.
    """
    own = (RunRow.manifest_digest == digest, RunRow.tier == OWN_TIER, RunRow.layer.in_(_OWN_LAYERS))
    best_first = ((RunRow.state == "done").desc(), RunRow.created_at.desc(), RunRow.id)
    with translate_errors(), Session(db) as session:
        return session.scalars(select(RunRow.id).where(*own).order_by(*best_first).limit(1)).first()


_OWN_LAYERS = ("main", "sampled", "adaptive")


def shown_run(db: Engine, run: str) -> RunDetail:
    """Return a run whose items may be shown, by its id or a unique prefix of it.

    Raises:
        UnknownRun: no run or several runs have this prefix.
        SealedRun: its season is not over.
    """
    detail = read.get_run(db, run)
    check_unsealed(detail.summary.sealed, detail.summary.season)
    return detail


def open_run(db: Engine, run: str) -> RunDetail:
    """Return a run that may be compared, by its id or a unique prefix of it.

    Raises:
        UnknownRun: no run or several runs have this prefix.
        SealedRun: its season is not over.
        NotComparable: it is not complete, or has several answers to each question.
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
    """Return two runs to compare; each word is an id, the beginning of an id, or a model's name.

    A model's name selects its newest finished run of a suite and seed that both have, or else of the same suite with
    another seed.

    Raises:
        UnknownModel: no run and no model has such a name.
        SealedRun, NotComparable: see `open_run`; or several pairs of runs fit.
    """
    words, sides = (first, second), (_candidates(db, first), _candidates(db, second))
    if len({one.run for side in sides for one in side}) == 1:
        one = sides[0][0]
        raise NotComparable(f"{first} and {second} both mean run {one.run}: name two runs, as `fathom runs` lists them")
    pairs = _shared(sides, lambda one: (one.pool, one.seed)) or _shared(sides, lambda one: (one.pool,))
    if not pairs and all(len(side) == 1 for side in sides):
        pairs = [(sides[0][0], sides[1][0])]
    if len(pairs) != 1:
        raise NotComparable(_unclear(words, sides, pairs))
    ((one, other),) = pairs
    return open_run(db, one.run), open_run(db, other.run)


def _runs_of(db: Engine, word: str) -> Sequence[_FinishedRun]:
    """Return the finished runs of a model by its name, or by its folder, however that is typed."""
    if (found := _finished_runs(db, word)) or not is_folder(word):
        return found
    name = name_of_digest(db, folder_digest(Path(word)))
    return () if name is None else _finished_runs(db, name)


def _candidates(db: Engine, word: str) -> Sequence[_FinishedRun]:
    if found := _runs_of(db, word):
        return found
    try:
        one = open_run(db, word)
    except UnknownRun as error:
        raise _unknown(db, word, error) from error
    return (_FinishedRun(one.summary.run, one.suite.name, one.suite.seed, one.pool, one.suite.n_items),)


def _unknown(db: Engine, word: str, error: UnknownRun) -> UnknownModel:
    near = get_close_matches(word, _model_names(db), n=_AT_MOST, cutoff=0.4)
    hint = f" (near it: {', '.join(near)})" if near else ""
    return UnknownModel(f"no model {word[:80]!r} has a finished run{hint}, and {error}")


def find_run(db: Engine, word: str) -> RunDetail:
    """Return a run in any state, by its id or a unique prefix of it, or a model's newest finished run by its name.

    Raises:
        UnknownModel: no run and no model has such a name.
    """
    if found := _runs_of(db, word):
        return read.get_run(db, found[0].run)
    try:
        return read.get_run(db, word)
    except UnknownRun as error:
        raise _unknown(db, word, error) from error


def _shared(sides: _Sides, key: Callable[[_FinishedRun], tuple[str, ...]]) -> list[tuple[_FinishedRun, _FinishedRun]]:
    """Return the newest two runs, one of each side, for each key that both sides have; never a run with itself."""
    found: dict[tuple[str, ...], tuple[_FinishedRun, _FinishedRun]] = {}
    for one in sides[0]:
        for other in sides[1]:
            if key(one) == key(other) and one.run != other.run:
                found.setdefault(key(one), (one, other))
    return list(found.values())


def _unclear(words: tuple[str, str], sides: _Sides, pairs: Sequence[tuple[_FinishedRun, _FinishedRun]]) -> str:
    if pairs:
        listed = [f"{one.run} {other.run} ({_suite_text(one)})" for one, other in pairs[:_AT_MOST]]
        return (
            f"{words[0]} and {words[1]} share {plural(len(pairs), 'suite')}; name two runs, "
            f"`fathom compare` and one of: {'; '.join(listed)}{_rest(len(pairs))}"
        )
    listed = [
        f"{word}: {'; '.join(f'{one.run} ({_suite_text(one)})' for one in side[:_AT_MOST])}{_rest(len(side))}"
        for word, side in zip(words, sides, strict=True)
    ]
    return f"no suite that both have finished; name two runs that share cells: {' / '.join(listed)}"


def _suite_text(one: _FinishedRun) -> str:
    return f"{one.suite}, seed {one.seed}, {plural(one.n_items, 'item')}"


def _rest(n: int) -> str:
    return f"; and {n - _AT_MOST} more" if n > _AT_MOST else ""


def _finished_runs(db: Engine, model: str) -> tuple[_FinishedRun, ...]:
    """Return a model's finished runs on suites, the best tier and then the newest first, as the board takes them."""
    measured_depth = RunRow.layer == "adaptive"  # such runs come last: a model's name means its scores
    best_first = (measured_depth, RunRow.tier.desc(), RunRow.created_at.desc(), RunRow.id)
    wanted = (
        select(RunRow.id, SuiteRow.name, SuiteRow.seed, SuiteRow.pool, RunRow.n_items)
        .join(SuiteRow, SuiteRow.id == RunRow.suite_id)
        .join(ModelRow, ModelRow.id == RunRow.model_id)
        .where(ModelRow.name == model, RunRow.kind == "suite", RunRow.state == "done")
        .where(RunRow.layer.in_(("main", "adaptive")), RunRow.hidden_at.is_(None))
        .order_by(*best_first)
    )
    with translate_errors(), Session(db) as session:
        return tuple(_FinishedRun(*row) for row in session.execute(wanted))


def _model_names(db: Engine) -> tuple[str, ...]:
    """Return the names of all models that have a finished run on a suite."""
    finished = select(RunRow.model_id).where(RunRow.kind == "suite", RunRow.state == "done")
    wanted = select(ModelRow.name).where(ModelRow.id.in_(finished))
    with translate_errors(), Session(db) as session:
        return tuple(session.scalars(wanted.order_by(ModelRow.name)))
