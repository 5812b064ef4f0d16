"""Turn a stored run into what its page shows."""

from sqlalchemy import Engine

from harness.db.read import RunDetail, RunSummary, get_run, get_summary
from harness.errors import UnknownRun
from harness.measures import Measure
from harness.measuring import measure_run
from server.fields import HEX
from server.render import Site


def find_run(db: Engine, run: str) -> RunDetail:
    """Return a run by what stands in an address; what cannot be an id never reaches the database.

    Raises:
        UnknownRun: there is no such run.
    """
    return get_run(db, _checked(run))


def find_summary(db: Engine, run: str) -> RunSummary:
    """Return a run in short, as find_run does."""
    return get_summary(db, _checked(run))


def _checked(run: str) -> str:
    if not HEX.fullmatch(run):
        raise UnknownRun(f"no run {run[:40]!r}: the page of runs lists them")
    return run


def measures_of(site: Site, detail: RunDetail) -> tuple[Measure, ...]:
    """Return a run's measures, worked out once; none while it is running, since they would change with each sample."""
    if detail.summary.state == "running":
        return ()
    return site.measures.get(detail.summary, lambda: measure_run(site.db, detail))


def n_shots(detail: RunDetail) -> int:
    """Return how many demonstrations stood before each question."""
    sampling = detail.manifest.get("decisive", {}).get("sampling", {})
    return int(sampling.get("shots", 0))
