"""Measures of a stored run beyond accuracy: bits learnt, divergences, diversity and repair."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from sqlalchemy import Engine

from fathom.harness.db.samples import stream_samples, weights_of
from fathom.harness.records import RunDetail, SampleFilter
from fathom.harness.reports.figures.picture import NOTHING, DataTable
from fathom.harness.stats.cell_measures import CellMeasure, GradedSample, is_measured, measure_cell, truth_nats
from fathom.harness.stats.intervals import Interval
from fathom.harness.stats.scores import CellCounts, known_level
from fathom.tasks.registry import instance_from_id

_MOST_SAMPLES = 20_000
"""Samples read of a cell; more would not change a displayed interval."""


def measure_run(db: Engine, detail: RunDetail) -> tuple[CellMeasure, ...]:
    """Return the measures of a run's cells; none while the run is sealed, since single answers reveal items."""
    cells = [cell for cell in detail.cells if is_measured(cell.family, cell.level, cell.style) and known_level(cell)]
    if detail.summary.sealed or not cells:
        return ()
    n_parameters = weights_of(db, detail.summary.run).n_parameters
    return tuple(
        one for cell in cells for one in measure_cell(list(_graded(db, detail, cell)), cell.style, n_parameters)
    )


def _graded(db: Engine, detail: RunDetail, cell: CellCounts) -> Iterator[GradedSample]:
    for sample in islice(stream_samples(db, detail, SampleFilter(cell=cell.id)), _MOST_SAMPLES):
        if sample.repeat or sample.finish_reason in ("error", "too_long"):
            continue
        item, nats = instance_from_id(sample.item), truth_nats(sample.scores)
        yield GradedSample(item, sample.correct, nats, sample.parsed or "", sample.completion)


MEASURES_LEGEND = (
    "bits: log2 of the number of values less the mean cross-entropy, not below 0 · KL: to the exact law of the "
    "language · different: share of different sentences among the valid ones, beside as many fresh ones · "
    "intervals: bootstrap over people, sentences or problems"
)

MEASURES_TEXT_COLUMNS = ("level", "measure", "unit")
"""Text columns of a table of measures."""


def measures_table(measures: Sequence[CellMeasure]) -> DataTable | None:
    """Return measures as a table, one a row; None if there are none."""
    if not measures:
        return None
    rows = tuple(
        (
            f"{one.family} {one.level}", one.name, _short(one.value), _spread(one.interval),
            NOTHING if one.most is None else _short(one.most), one.unit, str(one.n),
        )
        for one in measures
    )  # fmt: skip
    return DataTable(("level", "measure", "value", "95% interval", "at best", "unit", "samples"), rows)


def _short(number: float) -> str:
    return f"{number:.3f}" if abs(number) < 1 else f"{number:.2f}"


def _spread(interval: Interval | None) -> str:
    return NOTHING if interval is None else f"{_short(interval.low)} to {_short(interval.high)}"


def measures_json(measures: Sequence[CellMeasure]) -> list[dict[str, Any]]:
    """Return measures as JSON values; low and high are null if there is no interval."""
    return [
        {
            **{name: value for name, value in asdict(one).items() if name != "interval"},
            "low": None if one.interval is None else one.interval.low,
            "high": None if one.interval is None else one.interval.high,
        }
        for one in measures
    ]
