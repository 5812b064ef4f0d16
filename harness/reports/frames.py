"""Turn what is stored into flat rows for data frames: one a cell, a score, a sample."""

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from fathom.harness.db.engine import open_database
from fathom.harness.records import SampleView
from fathom.harness.reports.questions import make_question
from fathom.harness.settings import read_settings
from fathom.harness.stats.counts import CellCounts
from fathom.harness.stats.intervals import corrected
from fathom.harness.stats.scores import known_level, rung_of

Row = dict[str, Any]  # texts, numbers, None


AXES = ("family", "version", "ladder", "level", "channel", "style")


SAMPLE = (
    "item", "family", "level", "channel", "style", "index", "repeat", "correct", "label", "fault_at", "note", "parsed",
    "gold", "completion", "question", "finish_reason", "prompt_tokens", "completion_tokens", "milliseconds", "error",
)  # fmt: skip
"""Columns of a frame of samples."""


def axes_of(cell: CellCounts) -> Row:
    """Say which cell it is; of one that this code no longer knows, the ladder is None."""
    known = known_level(cell)
    ladder = known[1].ladder if known else None
    return dict(zip(AXES, (cell.family, cell.version, ladder, cell.level, cell.channel, cell.style), strict=True))


def cell_row(cell: CellCounts) -> Row:
    """Write a cell with its interval, chance, and score corrected for chance; None where nothing is graded.

    Where items were asked several times, pass@r and majority@r come with it.
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
        "score": corrected(rung.k, rung.n, rung.chance) if rung else None,
        "errors": cell.n_errors,
        **again,
    }


def score_frame(scores: Mapping[str, Any]) -> Iterator[Row]:  # JSON of harness.scores.scores_json
    """Yield ladders, families and overall means, `of` saying which."""
    for one in scores["ladders"]:
        depth = one["depth50"] or {}
        limits = {"depth50": depth.get("value"), "depth50_low": depth.get("low"), "depth50_high": depth.get("high")}
        yield _score_row("ladder", one["family"], one) | limits | {"unit": depth.get("unit")}
    for one in scores["families"]:
        yield _score_row("family", one["family"], one)
    for style, one in scores["overall"].items():
        yield _score_row("all", None, {**one, "style": style})


def _score_row(of: str, family: str | None, one: Mapping[str, Any]) -> Row:  # JSON values
    return {
        "of": of, "family": family, "ladder": one.get("ladder"), "channel": one.get("channel"), "style": one["style"],
        "score": one["score"], "low": one["low"], "high": one["high"],
        "depth50": None, "depth50_low": None, "depth50_high": None, "unit": None,
    }  # fmt: skip


def sample_row(one: SampleView) -> Row:
    """Write a sample with its question; question and gold are None where this code no longer makes them."""
    made = make_question(one)
    head, level, channel, *_ = one.item.split("/")
    values = {
        "family": head.partition("@")[0], "level": level, "channel": channel, "gold": made.gold if made else None,
        "question": made.text if made else None,
    }  # fmt: skip
    return {name: values[name] if name in values else getattr(one, name) for name in SAMPLE}


MEMORY = ":memory:"
"""Stands for a database of its own that goes with the last run in it."""


class Folder:
    """A folder that goes with whoever holds it last."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="fathom-"))
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


@dataclass(frozen=True)
class Store:
    """Where runs are; nothing stays open between two questions."""

    url: str
    folder: Folder | None = field(default=None, repr=False, compare=False)

    @classmethod
    def at(cls, db: str | Path | None) -> "Store":
        """Take a file or a URL; None is what FATHOM_DB says, MEMORY a new one."""
        if db is None:
            return cls(read_settings().database)
        if str(db) in (MEMORY, f"sqlite:///{MEMORY}", "sqlite://"):
            folder = Folder()  # a file: runs are written from several threads
            return cls(str(folder.path / "runs.db"), folder)
        return cls(str(db))

    @contextmanager
    def opened(self, *, create: bool = False) -> Iterator[Engine]:
        """Open it for a while; with `create`, it is made if need be.

        Raises:
            StoreError: it cannot be opened.
        """
        found = open_database(self.url, create=create)
        try:
            yield found
        finally:
            found.dispose()
