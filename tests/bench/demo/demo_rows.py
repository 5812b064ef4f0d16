"""Turn invented models' papers into rows, a block of models in one transaction."""

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from sqlalchemy import Engine, insert, select
from sqlalchemy.orm import Session

from fathom.harness.db.engine import translate_errors
from fathom.harness.db.leaderboard.landing import Landed, store_landed
from fathom.harness.db.schema.runs import CellRow, ModelRow, RunRow, SampleRow, SuiteRow
from fathom.harness.db.sql import Row, insert_if_new, insert_rows, next_id, raise_counters
from fathom.harness.db.write import storable
from fathom.harness.runs.manifest import Manifest
from fathom.harness.stats.counts import CellCounts
from fathom.harness.stats.ranking import Array
from fathom.tasks.registry import find_family
from fathom.tasks.suites import Suite
from tests.bench.demo.demo_answers import Answer, Bank
from tests.bench.demo.demo_models import Invented, Sheet

_CELLS = ("id", "run_id", "position", "family", "version", "level", "channel", "style", "n_planned", "n", "k",
          "n_errors", "labels")  # fmt: skip
_SAMPLES = ("id", "cell_id", "index", "repeat", "key", "finish_reason", "completion", "scores", "parsed", "label",
            "fault_at", "note", "correct", "error", "prompt_tokens", "completion_tokens", "milliseconds")  # fmt: skip

_AT_ONCE = 32
"""Requests that an invented engine answers at the same time."""

_LOG = "synthetic log of an invented run\n  loading ... done\n  generating ...\n"


@dataclass(frozen=True, slots=True)
class Paper:
    """A run, its cells (their ids are not known yet), and what it lands with if it is done."""

    sheet: Sheet
    cells: tuple[CellCounts, ...]
    landed: Landed | None


@dataclass(frozen=True, slots=True)
class Sown:
    """How much has been written."""

    models: int = 0
    runs: int = 0
    samples: int = 0


@dataclass(frozen=True, slots=True)
class Sower:
    """What all papers have in common; `verdicts` are columns of samples from finish_reason to error, an answer."""

    db: Engine
    suite: Suite
    suite_id: int
    suite_digest: str
    bank: Bank
    verdicts: Sequence[Row]
    tokens: Array
    places: Sequence[tuple[int, int]]
    """Position of the cell and index in it, an item."""

    def write(self, papers: Sequence[Paper], sown: Sown, wanted: int) -> Sown:
        """Write papers, with completions of whole runs while fewer than `wanted` are stored; return the new sums."""
        with translate_errors(), Session(self.db) as session, session.begin():
            connection = session.connection()
            models = _number([paper.sheet.model for paper in papers], next_id(connection, ModelRow))
            session.execute(insert(ModelRow), [{"id": at, "name": one.name} for one, at in models.items()])
            session.execute(insert(RunRow), [self._run(paper, models[paper.sheet.model]) for paper in papers])
            first_cell = next_id(connection, CellRow)
            insert_rows(connection, CellRow, _CELLS, _cell_rows(papers, first_cell))
            n_samples = sown.samples
            for at, paper in enumerate(papers):
                if n_samples >= wanted:
                    break
                rows = self._samples(paper.sheet, first_cell + at * len(paper.cells), next_id(connection, SampleRow))
                insert_rows(connection, SampleRow, _SAMPLES, rows)
                n_samples += len(paper.sheet.answers)
            store_landed(session, [paper.landed for paper in papers if paper.landed])
            raise_counters(connection, (ModelRow, CellRow, SampleRow))
        return Sown(sown.models + len(models), sown.runs + len(papers), n_samples)

    def _run(self, paper: Paper, model: int) -> dict[str, Any]:  # values of RunRow's columns
        sheet = paper.sheet
        manifest = _manifest(self.suite, self.suite_digest, sheet)
        seconds = 5 + round(float(self._milliseconds(sheet).sum()) / 1000 / _AT_ONCE)
        n_done, ended = len(sheet.answers), sheet.state != "running"
        return {
            "id": sheet.run, "model_id": model, "suite_id": self.suite_id, "state": sheet.state, "engine": "demo",
            "manifest": {**manifest.to_json(), "engine_facts": {"dtype": sheet.dtype}},
            "manifest_digest": manifest.digest(), "n_items": self.suite.n_items, "n_generated": n_done,
            "attempts": 1, "seconds": seconds if ended else 0, "n_done": n_done,
            "k": sum(cell.k for cell in paper.cells), "n_parameters": sheet.model.n_parameters, "dtype": sheet.dtype,
            "kind": sheet.model.kind, "error": sheet.error, "log": _LOG + sheet.error if sheet.error else None,
            "created_at": sheet.created_at,
            "finished_at": sheet.created_at + dt.timedelta(seconds=seconds) if ended else None,
        }  # fmt: skip

    def _milliseconds(self, sheet: Sheet) -> Array:
        pace = 2 * (sheet.model.n_parameters / 1e9) ** 0.5  # a token
        return np.asarray(12 + pace * (self.tokens[sheet.answers] + 1), dtype=int)

    def _samples(self, sheet: Sheet, first_cell: int, first: int) -> Iterator[Row]:
        prompts, tokens = self.bank.prompt_tokens.tolist(), self.tokens[sheet.answers].tolist()
        taken = self._milliseconds(sheet).tolist()
        for at, answer in enumerate(sheet.answers.tolist()):
            cell, index = self.places[at]
            head = (first + at, first_cell + cell, index, 0, f"{sheet.run}{at:020x}")
            yield (*head, *self.verdicts[answer], prompts[at], tokens[at], taken[at])


def open_sower(db: Engine, suite: Suite, bank: Bank) -> Sower:
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
    return Sower(db, suite, suite_id, digest, bank, [_verdict(one) for one in bank.answers], tokens, places)


def _verdict(one: Answer) -> Row:
    verdict = one.verdict
    parsed = None if verdict.parsed is None else storable(verdict.parsed)
    return (
        one.finish_reason, storable(one.text), one.scores, parsed, verdict.label, verdict.at, storable(verdict.note),
        verdict.correct, one.error,
    )  # fmt: skip


def _number(models: Sequence[Invented], first: int) -> Mapping[Invented, int]:
    return {model: first + at for at, model in enumerate(dict.fromkeys(models))}


def _cell_rows(papers: Sequence[Paper], first: int) -> Iterator[Row]:
    at = first
    for paper in papers:
        for position, cell in enumerate(paper.cells):
            yield (
                at, paper.sheet.run, position, cell.family, cell.version, cell.level, cell.channel, cell.style,
                cell.n_planned, cell.n, cell.k, cell.n_errors, json.dumps(cell.labels),
            )  # fmt: skip
            at += 1


def _manifest(suite: Suite, digest: str, sheet: Sheet) -> Manifest:
    """Describe an invented run as harness.provenance describes a real one."""
    decisive = {
        "model": {"name": sheet.model.name, "digest": "synthetic", "dtype": sheet.dtype},
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
    return Manifest(decisive, context)
