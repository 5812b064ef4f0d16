"""Measure a stored run: bits learnt, divergences, diversity, repair; see harness.measures."""

from collections.abc import Iterator
from itertools import islice

from sqlalchemy import Engine

from harness.db.journal import weights_of
from harness.db.read import CellCounts, RunDetail, SampleFilter
from harness.db.samples import stream_samples
from harness.measures import Graded, Measure, is_measured, measure, nats_of
from harness.scores import known_level
from tasks import instance_from_id

MOST_SAMPLES = 20_000
"""Samples of a cell that are read: more would narrow no interval that anybody sees."""


def measure_run(db: Engine, detail: RunDetail) -> tuple[Measure, ...]:
    """Return the measures of a run's cells; none while its seed is secret, since single answers tell of items."""
    cells = [cell for cell in detail.cells if is_measured(cell.family, cell.level, cell.style) and known_level(cell)]
    if detail.summary.sealed or not cells:
        return ()
    n_parameters = weights_of(db, detail.summary.run).n_parameters
    return tuple(one for cell in cells for one in measure(list(_graded(db, detail, cell)), cell.style, n_parameters))


def _graded(db: Engine, detail: RunDetail, cell: CellCounts) -> Iterator[Graded]:
    for sample in islice(stream_samples(db, detail, SampleFilter(cell=cell.id)), MOST_SAMPLES):
        if sample.repeat or sample.finish_reason in ("error", "too_long"):
            continue
        item, nats = instance_from_id(sample.item), nats_of(sample.scores)
        yield Graded(item, sample.correct, nats, sample.parsed or "", sample.completion)
