"""Flat rows for data frames and downloads, one for each cell, score or sample, and the database they come from."""

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from fathom.harness.db.engine import open_database
from fathom.harness.db.liveness import end_dead_runs
from fathom.harness.records import SampleView
from fathom.harness.reports.found import found_json
from fathom.harness.reports.questions import make_sample_question
from fathom.harness.runs.run_settings import PromptSettings
from fathom.harness.settings import read_settings
from fathom.harness.stats.intervals import corrected_accuracy
from fathom.harness.stats.scores import CellCounts, known_level, rung_of

FlatRow = dict[str, Any]  # texts, numbers, booleans, None; lists and dicts of these where a table's format has them
"""A row of a table; all rows of a table have the same keys."""

AXES = ("family", "version", "ladder", "level", "channel", "style")
"""Columns that identify a cell."""

FRAME_COLUMNS = (
    "item", "family", "level", "channel", "style", "index", "repeat", "correct", "found", "label", "fault_at", "note",
    "parsed", "gold", "completion", "question", "finish_reason", "prompt_tokens", "completion_tokens", "milliseconds",
    "error",
)  # fmt: skip
"""Columns of a frame of samples."""


def axes_of(cell: CellCounts) -> FlatRow:
    """Return the AXES of a cell; `ladder` is None if this version does not know the level."""
    known = known_level(cell)
    ladder = known[1].ladder if known else None
    return dict(zip(AXES, (cell.family, cell.version, ladder, cell.level, cell.channel, cell.style), strict=True))


def cell_row(cell: CellCounts) -> FlatRow:
    """Return a cell with its counts, interval, chance, and score corrected for chance; None where nothing is graded.

    If items were asked r times, the row also has pass@r and majority@r.
    """
    rung, spread = rung_of(cell), cell.spread
    again = (
        {}
        if spread is None
        else {
            "repeats": spread.repeats,
            "pass_at_repeats": spread.pass_at(spread.repeats).value,
            "majority": spread.voted.value,
        }
    )
    return {
        **axes_of(cell),
        "hardness": rung.hardness if rung else None,
        "items": cell.n_planned,
        "n": cell.n,
        "k": cell.k,
        "accuracy": cell.k / cell.n if cell.n else None,
        "low": cell.interval.low,
        "high": cell.interval.high,
        "chance": rung.chance if rung else None,
        "score": corrected_accuracy(rung.k, rung.n, rung.chance) if rung else None,
        "errors": cell.n_errors,
        **found_json(cell.found),
        **again,
    }


def score_frame(scores: Mapping[str, Any]) -> Iterator[FlatRow]:  # JSON of a run's scores
    """Yield the scores of ladders, families and the overall means; the column `of` tells them apart."""
    for one in scores["ladders"]:
        depth = one["depth50"] or {}
        limits = {"depth50": depth.get("value"), "depth50_low": depth.get("low"), "depth50_high": depth.get("high")}
        yield _score_row("ladder", one["family"], one) | limits | {"unit": depth.get("unit")}
    for one in scores["families"]:
        yield _score_row("family", one["family"], one)
    for style, one in scores["overall"].items():
        yield _score_row("all", None, {**one, "style": style})


def _score_row(of: str, family: str | None, one: Mapping[str, Any]) -> FlatRow:  # JSON values
    return {
        "of": of, "family": family, "ladder": one.get("ladder"), "channel": one.get("channel"), "style": one["style"],
        "score": one["score"], "low": one["low"], "high": one["high"],
        "depth50": None, "depth50_low": None, "depth50_high": None, "unit": None,
    }  # fmt: skip


def sample_row(one: SampleView, asked: PromptSettings, columns: Sequence[str] = FRAME_COLUMNS) -> FlatRow:
    """Return the named columns of a sample of a run that was asked in this way, see `prompt_settings_of`.

    `question` and `gold` are None if this version of Fathom no longer makes the item.
    """
    made = make_sample_question(one, asked)
    head, level, channel, *_ = one.item.split("/")
    values = {
        "family": head.partition("@")[0], "level": level, "channel": channel, "gold": made.gold if made else None,
        "question": made.text if made else None,
        "candidate_scores": None if one.scores is None else list(one.scores),
    }  # fmt: skip
    return {name: values[name] if name in values else getattr(one, name) for name in columns}


MEMORY = ":memory:"
"""Name of a temporary database, which is removed with the last run in it."""


class _TemporaryFolder:
    """A folder that is removed with the last reference to it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="fathom-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class Store:
    """A database by its URL; no connection stays open between two calls."""

    url: str
    folder: _TemporaryFolder | None = field(default=None, repr=False, compare=False)

    @classmethod
    def at(cls, db: str | Path | None) -> "Store":
        """Return the store of a file or URL; None means FATHOM_DB, MEMORY a new temporary database."""
        if db is None:
            return cls(read_settings().database)
        if str(db) in (MEMORY, f"sqlite:///{MEMORY}", "sqlite://"):
            folder = _TemporaryFolder()  # a file: runs are written from several threads
            return cls(str(folder.path / "runs.db"), folder)
        return cls(str(db))

    @contextmanager
    def opened(self, *, create: bool = False) -> Iterator[Engine]:
        """Open the database; with `create`, create it if it does not exist. Dead runs are stored as interrupted.

        Raises:
            StoreError: it cannot be opened.
        """
        found = open_database(self.url, create=create)
        try:
            end_dead_runs(found)
            yield found
        finally:
            found.dispose()
