"""Turn accepted submissions into runs and jobs, and done jobs into results on the board.

Each function is a chore of the housekeeper: any number of processes may do it at once, and one that is killed leaves
nothing that the next round does not make good.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import Engine

from harness.db import jobs, plans
from harness.db.landing import land_runs
from harness.db.plans import Asked, PlannedRun
from harness.db.seasons import items_of
from harness.db.settling import settle, unsettled
from harness.db.write import NewRun, sealed_seed
from harness.errors import EmptySuite, FathomError
from harness.provenance import Manifest, git_state
from harness.suite import Selection, Suite, SuiteCell, open_suite
from tasks import TaskError, find_family

log = logging.getLogger(__name__)

SHARD = 512
"""Items of a shard at least, so that loading a model is worth it."""
_FRESH_SHARE, _FRESH_LEAST = 5, 5
_GRACE = 30.0
"""Seconds after a start in which no lease is taken back: workers must be able to beat again."""

SeedOf = Callable[[Engine, str], str]
"""Returns the seed of a season by name; of the empty name, the practice seed."""
Check = Callable[[Engine, str], object]
"""Looks at a submission whose runs have landed, by id."""


def plan_submissions(db: Engine, seed_of: SeedOf) -> int:
    """Make runs and jobs of all accepted submissions of models; return of how many."""
    n_planned = 0
    for asked in plans.list_unplanned(db):
        try:
            runs = plan(asked, seed_of(db, asked.season), items_of(db, asked.season))
        except (FathomError, TaskError) as error:
            log.error("submission %s cannot be planned: %s", asked.id, error)
            plans.refuse_plan(db, asked.id, "engine_failed", f"it could not be planned: {error}")
            continue
        n_planned += plans.store_plan(db, asked.id, runs)
    return n_planned


def plan(asked: Asked, seed: str, n: int | None = None) -> list[PlannedRun]:
    """Return the run on the shared seed and the one on a fresh seed, each cut into shards.

    A small season asks `n` items a cell, in place of what the suite says.

    Raises:
        UnknownSuite, EmptySuite: there is nothing to ask.
    """
    suite = open_suite(asked.suite, seed, Selection(n=n))
    cells = tuple(cell for cell in suite.cells if asked.style in ("", cell.style))
    if not cells:
        raise EmptySuite(f"the suite {asked.suite} asks nothing in the style {asked.style!r}")
    shared = replace(suite, cells=cells)
    few = tuple(replace(cell, n=max(_FRESH_LEAST, cell.n // _FRESH_SHARE)) for cell in cells)
    fresh = replace(open_suite(asked.suite, secrets.token_hex(16)), cells=few)
    return [_planned(asked, shared, "run"), _planned(asked, fresh, "fresh")]


def _planned(asked: Asked, suite: Suite, kind: str) -> PlannedRun:
    season = asked.season if kind == "run" else ""
    digest = _digest(suite)
    manifest = _manifest(asked, suite, digest, season)
    new = NewRun(
        asked.model, asked.engine, suite, digest, manifest.to_json(), manifest.digest(), asked.n_parameters,
        asked.model_kind, layer="main" if kind == "run" else "fresh", season=season, sealed=bool(season),
    )  # fmt: skip
    return PlannedRun(kind, new, tuple(shards(suite.cells)))


@lru_cache(maxsize=16)  # seconds for a large suite, and most submissions ask the same one
def _digest(suite: Suite) -> str:
    return suite.digest()


def shards(cells: Sequence[SuiteCell], at_least: int = SHARD) -> Iterator[tuple[int, ...]]:
    """Cut cells into runs of neighbours with so many items at least; yield their positions."""
    n_left = sum(cell.n for cell in cells)
    held: list[int] = []
    n_held = 0
    for at, cell in enumerate(cells):
        held.append(at)
        n_held += cell.n
        if n_held >= at_least and n_left - n_held >= at_least:
            yield tuple(held)
            n_left -= n_held
            held, n_held = [], 0
    if held:
        yield tuple(held)


def _manifest(asked: Asked, suite: Suite, digest: str, season: str) -> Manifest:
    """Describe a run before a worker starts it; of a season neither seed nor digest, which would give items away."""
    about = {"name": suite.name, "version": suite.version, "seed": suite.seed, "digest": digest}
    if season:
        about |= {"seed": sealed_seed(season), "digest": "sealed", "season": season}
    decisive = {
        "model": {"name": asked.model, "digest": asked.sha, "revision": asked.revision},
        "engine": {"name": asked.engine, "packages": {}},  # a worker's are among engine_facts
        "suite": about,
        "families": {cell.family: find_family(cell.family).version for cell in suite.cells},
        "sampling": {
            "temperature": 0.0, "temperature_free": 1.0, "shots": 0, "chat_template": asked.chat_template,
            "dtype": asked.dtype,
        },
    }  # fmt: skip
    context = {
        "fathom": {"version": version("fathom"), "commit": _commit()},
        "submission": asked.id,
        "cells": [asdict(cell) for cell in suite.cells],
    }
    return Manifest(decisive, context)


@lru_cache(maxsize=1)
def _commit() -> str:
    return git_state(Path(__file__).parents[1])


def conclude_submissions(db: Engine, checks: Sequence[Check] = ()) -> int:
    """Score the submissions all of whose jobs are done, and put them on the board; return how many."""
    for submission in unsettled(db):
        settle(db, submission)
    plans.end_stopped_runs(db)
    generated = plans.list_generated(db)
    for submission in generated:
        plans.close_runs(db, submission)
    if generated:
        land_runs(db)
    n_finished = 0
    for submission in generated:
        for check in checks:
            check(db, submission)
        n_finished += plans.finish_submission(db, submission)
    return n_finished


def make_reaper(clock: Callable[[], float] = time.monotonic, grace: float = _GRACE) -> Callable[[Engine], int]:
    """Return the chore that takes back leases which ran out, once this process has been up for a while."""
    began = clock()
    return lambda db: jobs.reap(db) if clock() - began >= grace else 0
