"""Turn a season's secret and beacon into its seed, and check afterwards that nothing was changed in between.

Commit-reveal: before a season, the hash of a secret and of all that decides the items is published; then a public
random value (the beacon), which nobody knew at that time, is mixed in; at the end the secret is published. So neither
the operator could pick a seed that favours a model, nor could anybody know the items while they counted.
"""

import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import blake2b, sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fathom.harness.errors import BadInput, FathomError
from fathom.harness.runs.manifest import git_state
from fathom.harness.runs.requests import request_of
from fathom.tasks.base import Instance, demonstrate, verdict_json
from fathom.tasks.errors import TaskError
from fathom.tasks.registry import find_family
from fathom.tasks.suites import Selection, Suite, SuiteCell, make_items, open_suite

PRACTICE_SEED = "2026"
"""Public seed of runs outside of seasons: their items may be looked at."""

_PROBE_SEED = "b0a7"
"""Public seed of the items whose prompts and verdicts stand for the behaviour of generators and graders."""
_PROBES = 3
"""Such items a cell."""
_NOISE = "the answer may be 7, or AB; Answer: ?? \N{RIGHT-TO-LEFT OVERRIDE}x [1, 2]"

SECRET_BYTES = 32


def canonical(value: object) -> bytes:
    """Write JSON values so that equal ones are equal bytes: sorted keys, no blanks, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


@dataclass(frozen=True, slots=True)
class Terms:
    """All that a commitment covers beside the secret; digests are BLAKE2b of 32 hex digits."""

    season: str
    suite: str
    suite_version: str
    n: int | None
    """Items a cell where the season has fewer than the suite; None: the suite's own."""
    n_cells: int
    n_items: int
    cells_digest: str
    generators: Mapping[str, int]
    """Versions by family."""
    prompt_digest: str
    """Prompts, golds, candidates and sampling of the first items of each cell under a public seed."""
    grader_digest: str
    """Verdicts on fixed texts about these items."""
    fathom: str
    """Version and commit: what to check out to make the same items where a later Fathom no longer does."""

    def to_json(self) -> dict[str, Any]:
        """Return the terms as JSON values."""
        return {**asdict(self), "generators": dict(self.generators)}


@lru_cache(maxsize=4)  # behaviour does not change while a process runs
def terms_of(season: str, suite: str, n: int | None = None) -> Terms:
    """Describe what this Fathom would ask in a season and how it would grade; takes some seconds.

    Raises:
        UnknownSuite, EmptySuite: there is none such.
    """
    probe = suite_of(suite, _PROBE_SEED, n)
    return Terms(
        season, suite, probe.version, n, len(probe.cells), probe.n_items, cells_digest(probe), generators_of(probe),
        prompt_digest(probe), grader_digest(probe), _fathom(),
    )  # fmt: skip


def _fathom() -> str:
    return f"{version('fathom')} {git_state(Path(__file__).parents[1])}"


def suite_of(name: str, seed: str, n: int | None = None) -> Suite:
    """Return a season's suite under a seed."""
    return open_suite(name, seed, Selection(n=n))


def commitment_of(terms: Mapping[str, Any], secret: bytes) -> str:
    """Return the SHA-256 of the terms (JSON of Terms) with the secret, in hex."""
    return sha256(canonical({**terms, "secret": secret.hex()})).hexdigest()


def seed_of(secret: bytes, season: str, beacon: str) -> str:
    """Return the seed of a season's items: the HMAC-SHA256 of its name and beacon under the secret, in hex."""
    return hmac.digest(secret, canonical({"season": season, "beacon": beacon}), "sha256").hex()


def cells_digest(suite: Suite) -> str:
    """Hash the cells of a suite and how many items each has."""
    return _digest([canonical(suite.to_json())])


def generators_of(suite: Suite) -> dict[str, int]:
    """Return the versions of a suite's families."""
    return {cell.family: cell.version for cell in suite.cells}


def prompt_digest(suite: Suite) -> str:
    """Hash how the first items of each cell are asked, and their golds, under the public seed."""
    return _digest(
        canonical([item.id, asked.prompt, item.gold, asked.choices, asdict(asked.sampling)])
        for cell in suite.cells
        for item in _probes(cell)
        for asked in [request_of(cell, item, "")]
    )


def grader_digest(suite: Suite) -> str:
    """Hash the verdicts on fixed texts about the first items of each cell under the public seed."""
    places = {(cell.family, cell.level, cell.channel): cell for cell in suite.cells}
    return _digest(
        canonical([item.id, verdict_json(find_family(item.family).grade(item, text))])
        for cell in places.values()
        for item, other in _pairs(tuple(_probes(cell)))
        for text in _texts(item, other)
    )


def _probes(cell: SuiteCell) -> tuple[Instance, ...]:
    return tuple(make_items(cell.cell, _PROBE_SEED, _PROBES))


def _pairs(items: tuple[Instance, ...]) -> Iterator[tuple[Instance, Instance]]:
    return zip(items, (*items[1:], items[0]), strict=True)


def _texts(item: Instance, other: Instance) -> tuple[str, ...]:
    family = find_family(item.family)
    return (item.gold, demonstrate(family, item, "cot"), other.gold, demonstrate(family, other, "cot"), "", _NOISE)


def _digest(parts: Iterator[bytes] | list[bytes]) -> str:
    state = blake2b(digest_size=16)
    for part in parts:
        state.update(b"%d:" % len(part) + part)
    return state.hexdigest()


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was checked, and what was found."""

    name: str
    ok: bool
    detail: str


def verify(document: Mapping[str, Any]) -> tuple[Check, ...]:  # JSON of a season; any shape may come
    """Check a revealed season: commitment, terms, and every item made again from secret and beacon.

    Raises:
        BadInput: the document is not that of a revealed season.
    """
    terms, secret = _read(document)
    season, beacon = str(document["season"]), str(document["beacon"])
    said = document["commitment"]
    found = commitment_of(terms, secret)
    checks = [
        _same("commitment", said, found),
        _same("season of the terms", terms.get("season"), season),
        _same("suite of the terms", terms.get("suite"), document["suite"]),
    ]
    try:
        suite = suite_of(str(terms.get("suite")), seed_of(secret, season, beacon), terms.get("n"))
        now = terms_of(season, suite.name, terms.get("n")).to_json()
    except (FathomError, TaskError, TypeError) as error:
        return (*checks, Check("suite", False, f"it cannot be made again: {error}"))
    checks += [_same(words, terms.get(name), now[name]) for name, words in _TERMS.items()]
    return (*checks, _same("every item of the suite", document["suite_digest"], suite.digest()))


_TERMS = {
    "suite_version": "suite version",
    "n_cells": "number of cells",
    "n_items": "number of items",
    "cells_digest": "cells digest",
    "generators": "generator versions",
    "prompt_digest": "prompt digest",
    "grader_digest": "grader digest",
}
_FIELDS = ("season", "suite", "terms", "commitment", "beacon", "suite_digest", "secret")


def _read(document: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    missing = [name for name in _FIELDS if not document.get(name)]
    if missing:
        raise BadInput(
            f"this season is not revealed yet, or the file is not whole ({', '.join(missing)} missing): "
            "a season can be verified after `fathom season reveal`"
        )
    try:
        secret = bytes.fromhex(document["secret"])
        terms = dict(document["terms"])
    except (TypeError, ValueError) as error:
        raise BadInput(
            "the secret must be hex digits and the terms an object, as /seasons/NAME.json has them"
        ) from error
    return terms, secret


def _same(name: str, said: object, found: object) -> Check:
    if said == found:
        return Check(name, True, str(said))
    return Check(name, False, f"published {said}, found {found}")
