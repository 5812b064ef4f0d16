"""Read what runs used: tokens and time, by cell, from the samples themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from fathom.harness.db.engine import translate_errors
from fathom.harness.db.schema.runs import OWN_TIER, CellRow, ModelRow, RunRow, SampleRow
from fathom.harness.records import CellUsage, Manifest


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """A finished run whose tokens and times tell what a new one will take."""

    run: str
    model: str
    seconds: int
    manifest: Manifest

    @property
    def load_seconds(self) -> float:
        """Seconds that its engine took to load; 0 where an older version did not store them."""
        try:
            return max(0.0, float(self.manifest.engine_facts.get("load_seconds", 0)))
        except (TypeError, ValueError):
            return 0.0


def usage_of_runs(db: Engine, runs: Sequence[str]) -> dict[str, tuple[CellUsage, ...]]:
    """Return tokens and time of runs on suites by run, their cells in order, in one statement."""
    summed = (
        func.count(), func.sum(SampleRow.prompt_tokens), func.sum(SampleRow.completion_tokens),
        func.sum(SampleRow.milliseconds),
    )  # fmt: skip
    cell = (CellRow.family, CellRow.level, CellRow.channel, CellRow.style)
    wanted = (
        select(CellRow.run_id, *cell, *summed)
        .join(SampleRow, SampleRow.cell_id == CellRow.id)
        .where(CellRow.run_id.in_(runs))
        .group_by(CellRow.run_id, CellRow.id, CellRow.position, *cell)
        .order_by(CellRow.run_id, CellRow.position)
    )
    found: dict[str, list[CellUsage]] = {run: [] for run in runs}
    with translate_errors(), Session(db) as session:
        for run, family, level, channel, style, *sums in session.execute(wanted):
            found[run].append(CellUsage(family, level, channel, style, *(int(one) for one in sums)))
    return {run: tuple(cells) for run, cells in found.items()}


def earlier_runs(db: Engine, engine: str, model: str | None = None, limit: int = 20) -> tuple[EarlierRun, ...]:
    """Return the newest finished runs on suites of an engine, and of a model if it is named, newest first."""
    wanted = (
        select(RunRow.id, ModelRow.name, RunRow.seconds, RunRow.manifest)
        .join(ModelRow, ModelRow.id == RunRow.model_id)
        .where(RunRow.kind == "suite", RunRow.state == "done", RunRow.engine == engine, RunRow.tier == OWN_TIER)
        .order_by(RunRow.created_at.desc(), RunRow.id)
        .limit(limit)
    )
    if model is not None:
        wanted = wanted.where(ModelRow.name == model)
    with translate_errors(), Session(db) as session:
        return tuple(
            EarlierRun(run, name, seconds, Manifest.read(manifest))
            for run, name, seconds, manifest in session.execute(wanted)
        )
