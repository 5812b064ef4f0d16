"""Turn invented models' counted into rows, a block of models in one transaction."""

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, func, insert, select
from sqlalchemy.orm import Session

from fathom.harness.db.engine import insert_if_new, translate_errors
from fathom.harness.db.leaderboard.standings import RunResults, store_results
from fathom.harness.db.schema.runs import CellRow, ModelRow, RunRow, SampleRow, SuiteRow
from fathom.harness.db.sql import Row, insert_into, raise_counters
from fathom.harness.db.write import storable
from fathom.harness.records import Manifest
from fathom.harness.reports.found import found_json
from fathom.harness.stats.ranks import Array
from fathom.harness.stats.scores import CellCounts
from fathom.tasks.registry import find_family
from fathom.tasks.suites import Suite
from tests.bench.demo.answers import Answer, Bank
from tests.bench.demo.models import InventedModel, InventedRun

_CELLS = ("id", "run_id", "position", "family", "version", "level", "channel", "style", "n_planned", "n", "k",
          "n_errors", "labels", "n_asked", "n_unread", "n_cut")  # fmt: skip
_SAMPLES = ("id", "cell_id", "index", "repeat", "key", "finish_reason", "completion", "scores", "parsed", "label",
            "fault_at", "note", "correct", "found", "error", "prompt_tokens", "completion_tokens", "milliseconds")  # fmt: skip

_AT_ONCE = 32
"""Requests that an invented engine answers at the same time."""

_LOG = "synthetic log of an invented run\n  loading ... done\n  generating ...\n"


@dataclass(frozen=True, slots=True)
class CountedRun:
    """A run with its counts: `cells` have no database ids yet, `landed` holds its scores if it is done."""

    run: InventedRun
    cells: tuple[CellCounts, ...]
    landed: RunResults | None


@dataclass(frozen=True, slots=True)
class Written:
    """How much has been written."""

    models: int = 0
    runs: int = 0
    samples: int = 0


@dataclass(frozen=True, slots=True)
class RunWriter:
    """Writes invented runs; `verdicts` are, for each answer, the columns of a sample from finish_reason to error."""

    db: Engine
    suite: Suite
    suite_id: int
    suite_digest: str
    bank: Bank
    verdicts: Sequence[Row]
    tokens: Array
    places: Sequence[tuple[int, int]]
    """Position of the cell and index in it, for each item."""

    def write(self, counted: Sequence[CountedRun], before: Written, wanted: int) -> Written:
        """Write runs, with the samples of whole runs until `wanted` samples are stored; return the new totals."""
        with translate_errors(), Session(self.db) as session, session.begin():
            connection = session.connection()
            models = _number([one.run.model for one in counted], _next_id(connection, ModelRow))
            session.execute(insert(ModelRow), [{"id": at, "name": one.name} for one, at in models.items()])
            session.execute(insert(RunRow), [self._run(one, models[one.run.model]) for one in counted])
            first_cell = _next_id(connection, CellRow)
            insert_into(connection, "cells", _CELLS, _cell_rows(counted, first_cell))
            n_samples = before.samples
            for at, one in enumerate(counted):
                if n_samples >= wanted:
                    break
                rows = self._samples(one.run, first_cell + at * len(one.cells), _next_id(connection, SampleRow))
                insert_into(connection, "samples", _SAMPLES, rows)
                n_samples += len(one.run.answers)
            store_results(session, [one.landed for one in counted if one.landed])
            raise_counters(connection, (ModelRow, CellRow, SampleRow))
        return Written(before.models + len(models), before.runs + len(counted), n_samples)

    def _run(self, one: CountedRun, model: int) -> dict[str, Any]:  # values of RunRow's columns
        run = one.run
        manifest = _manifest(self.suite, self.suite_digest, run)
        seconds = 5 + round(float(self._milliseconds(run).sum()) / 1000 / _AT_ONCE)
        n_done, ended = len(run.answers), run.state != "running"
        return {
            "id": run.id, "model_id": model, "suite_id": self.suite_id, "state": run.state, "engine": "demo",
            "manifest": {**manifest.to_json(), "engine_facts": {"dtype": run.dtype}},
            "manifest_digest": manifest.digest(), "n_items": self.suite.n_items, "n_generated": n_done,
            "attempts": 1, "seconds": seconds if ended else 0, "n_done": n_done,
            "k": sum(cell.k for cell in one.cells), **_found(one.cells), "n_parameters": run.model.n_parameters, "dtype": run.dtype,
            "model_kind": run.model.kind, "error": run.error, "log": _LOG + run.error if run.error else None,
            "created_at": run.created_at,
            "finished_at": run.created_at + dt.timedelta(seconds=seconds) if ended else None,
        }  # fmt: skip

    def _milliseconds(self, run: InventedRun) -> Array:
        pace = 2 * (run.model.n_parameters / 1e9) ** 0.5  # a token
        return np.asarray(12 + pace * (self.tokens[run.answers] + 1), dtype=int)

    def _samples(self, run: InventedRun, first_cell: int, first: int) -> Iterator[Row]:
        prompts, tokens = self.bank.prompt_tokens.tolist(), self.tokens[run.answers].tolist()
        taken = self._milliseconds(run).tolist()
        for at, answer in enumerate(run.answers.tolist()):
            cell, index = self.places[at]
            head = (first + at, first_cell + cell, index, 0, f"{run.id}{at:020x}")
            yield (*head, *self.verdicts[answer], prompts[at], tokens[at], taken[at])


def open_writer(db: Engine, suite: Suite, bank: Bank) -> RunWriter:
    """Store the suite, and prepare what all runs share."""
    digest = suite.digest()
    row = {
        "digest": digest, "name": suite.name, "version": suite.version, "seed": suite.seed, "cells": suite.to_json(),
        "pool": suite.pool(),
    }  # fmt: skip
    with translate_errors(), db.begin() as connection:
        connection.execute(insert_if_new(db, SuiteRow).values(**row))
        suite_id = connection.execute(select(SuiteRow.id).where(SuiteRow.digest == digest)).scalar_one()
    places = [(position, index) for position, cell in enumerate(suite.cells) for index in range(cell.n)]
    tokens = np.array([answer.tokens for answer in bank.answers])
    return RunWriter(db, suite, suite_id, digest, bank, [_verdict(one) for one in bank.answers], tokens, places)


def _found(cells: Sequence[CellCounts]) -> dict[str, int]:
    """Return a run's counts of how answers were found."""
    counts = [found_json(cell.found) for cell in cells]
    return {name: sum(one[name] or 0 for one in counts) for name in found_json(None)}


def _verdict(one: Answer) -> Row:
    verdict = one.verdict
    parsed = None if verdict.parsed is None else storable(verdict.parsed)
    return (
        one.finish_reason, storable(one.text), one.scores, parsed, verdict.label, verdict.at, storable(verdict.note),
        verdict.correct, verdict.found, one.error,
    )  # fmt: skip


def _number(models: Sequence[InventedModel], first: int) -> Mapping[InventedModel, int]:
    return {model: first + at for at, model in enumerate(dict.fromkeys(models))}


def _cell_rows(counted: Sequence[CountedRun], first: int) -> Iterator[Row]:
    at = first
    for one in counted:
        for position, cell in enumerate(one.cells):
            yield (
                at, one.run.id, position, cell.family, cell.version, cell.level, cell.channel, cell.style,
                cell.n_planned, cell.n, cell.k, cell.n_errors, json.dumps(cell.labels),
                *found_json(cell.found).values(),
            )  # fmt: skip
            at += 1


def _manifest(suite: Suite, digest: str, run: InventedRun) -> Manifest:
    """Return a manifest that says plainly that the run is synthetic."""
    decisive = {
        "model": {"name": run.model.name, "digest": "synthetic", "dtype": run.dtype},
        "engine": {"name": "demo", "packages": {}},
        "suite": {"name": suite.name, "version": suite.version, "seed": suite.seed, "digest": digest},
        "families": {cell.family: find_family(cell.family).version for cell in suite.cells},
        "sampling": {"temperature": 0.0, "temperature_free": 1.0, "shots": 0, "chat_template": False},
        "lm_eval": "none",
    }
    context = {
        "synthetic": True,
        "fathom": {"version": "none", "commit": "none"},
        "python": "none",
        "platform": "none",
        "hardware": {"processor": "none", "cores": "0", "gpus": "none"},
        "cells": [asdict(cell) for cell in suite.cells],
    }
    return Manifest.read({"decisive": decisive, "context": context})


def _next_id(connection: Connection, table: Any) -> int:  # a table with a numeric column `id`
    """Return the highest id of a table plus one."""
    return int(connection.execute(select(func.coalesce(func.max(table.id), 0))).scalar_one()) + 1
