"""Turn a stored run into what its page shows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from harness.db.read import RunDetail, RunSummary, get_run, get_summary
from harness.errors import UnknownRun
from harness.format import shorten
from server.fields import HEX

_PARTS = {
    "decisive": "What decides the numbers",
    "context": "What surrounds them",
    "engine_facts": "What the engine says of itself",
    "first_prompt": "The first prompt, as the model reads it",
}
_ELSEWHERE = ("cells",)
"""Parts of a manifest that the page shows as tables already."""

_FACT = 500
"""Characters of a manifest's value that are shown."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One line of a manifest."""

    term: str
    value: str


@dataclass(frozen=True, slots=True)
class Facts:
    """A part of a manifest."""

    title: str
    facts: tuple[Fact, ...]


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


def manifest_facts(manifest: Mapping[str, Any]) -> tuple[Facts, ...]:  # JSON of provenance.Manifest
    """Flatten a manifest, whatever it holds, into terms and values."""
    return tuple(
        Facts(title, tuple(_facts((), manifest[part]))) for part, title in _PARTS.items() if manifest.get(part)
    )


def _facts(path: tuple[str, ...], value: object) -> Iterator[Fact]:
    if not isinstance(value, Mapping):
        yield Fact(" ".join(path).replace("_", " "), shorten(str(value), _FACT))
        return
    for key, inner in value.items():
        if key not in _ELSEWHERE:
            yield from _facts((*path, str(key)), inner)


def n_shots(detail: RunDetail) -> int:
    """Return how many demonstrations stood before each question."""
    sampling = detail.manifest.get("decisive", {}).get("sampling", {})
    return int(sampling.get("shots", 0))
