"""Turn a stored run into what its page shows."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from harness.db.read import RunDetail, RunSummary, get_run, get_summary
from harness.errors import FathomError, UnknownRun
from harness.format import shorten
from harness.suite import Selection, Suite, open_suite
from server.fields import HEX
from tasks import TaskError

_PARTS = {
    "decisive": "What decides the numbers",
    "context": "What surrounds them",
    "engine_facts": "What the engine says of itself",
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


def reproduce_command(detail: RunDetail) -> str:
    """Write the command that asks the same model the same questions; nothing for an invented or sealed run."""
    one = detail.summary
    context = detail.manifest.get("context")
    if one.sealed or (isinstance(context, Mapping) and context.get("synthetic")):
        return ""
    words = ["fathom", "run", "--model", one.model, "--suite", one.suite, "--engine", one.engine, "--seed", one.seed]
    return shlex.join([*words, *_selection(detail.suite), *_shots(n_shots(detail))])


def _shots(number: int) -> tuple[str, ...]:
    return ("--shots", str(number)) if number else ()


def _selection(asked: Suite) -> tuple[str, ...]:
    """Write the options that lead from a suite's own cells to those that were asked, as few as will do."""
    for wanted in _selections(asked):
        try:
            found = open_suite(asked.name, asked.seed, wanted)
        except (FathomError, TaskError):
            return ()
        if found.cells == asked.cells:
            break
    named = {
        "families": wanted.families, "levels": wanted.levels, "channel": wanted.channels, "style": wanted.styles,
        "n": () if wanted.n is None else (str(wanted.n),),
    }  # fmt: skip
    return tuple(word for option, values in named.items() if values for word in (f"--{option}", ",".join(values)))


def _selections(asked: Suite) -> Iterator[Selection]:
    families, levels, channels, styles = (
        tuple(dict.fromkeys(getattr(one, axis) for one in asked.cells))
        for axis in ("family", "level", "channel", "style")
    )
    counts = {one.n for one in asked.cells}
    for n in (None, *counts) if len(counts) == 1 else (None,):
        yield Selection(n=n)
        yield Selection(families, n=n)
        yield Selection((), levels, channels, styles, n)
        yield Selection(families, levels, channels, styles, n)
