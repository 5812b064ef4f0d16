"""The commitment behind a season: how secret and beacon give the seed, and how anybody checks it afterwards.

Commit-reveal: before a season, the hash of a secret and of everything that decides the items is published. Then a
public random value (the beacon), unknown at that time, is mixed in. At the end the secret is published. So the operator
cannot choose a seed that favours a model, and nobody can know the items during the season.
"""

import hmac
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import blake2b, sha256
from importlib.metadata import version
from typing import Any

from fathom.harness.errors import BadInput, FathomError
from fathom.harness.runs.manifest import fathom_commit
from fathom.harness.runs.requests import make_request
from fathom.tasks.base import Instance, demonstrate, grade, verdict_json
from fathom.tasks.errors import TaskError
from fathom.tasks.registry import find_family
from fathom.tasks.suites import Selection, Suite, SuiteCell, make_items, open_suite

PRACTICE_SEED = "2026"
"""Public seed of runs outside of seasons; everybody may read its items."""

EXCHANGEABILITY = (
    "Items of one generator version are exchangeable by construction: only the seed tells them apart. Scores of "
    "seasons with the same suite version, generator versions, prompt digest and grader digest can be compared."
)
"""Why scores of different seasons can be compared; shown with each season."""

_PROBE_SEED = "b0a7"
"""Public seed of the items whose prompts and verdicts are hashed to describe generators and graders."""
_PROBES = 3
"""Items per cell that are hashed."""
_NOISE = "the answer may be 7, or AB; Answer: ?? \N{RIGHT-TO-LEFT OVERRIDE}x [1, 2]"

SECRET_BYTES = 32


def canonical(value: object) -> bytes:
    """Write JSON values so that equal values give equal bytes: sorted keys, no blanks, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


@dataclass(frozen=True, slots=True)
class Terms:
    """Everything that a commitment covers beside the secret; digests are BLAKE2b, 32 hex digits."""

    season: str
    suite: str
    suite_version: str
    n: int | None
    """Items per cell, for a season with fewer than its suite; None for the suite's own number."""
    n_cells: int
    n_items: int
    cells_digest: str
    generators: Mapping[str, int]
    """Versions by family."""
    prompt_digest: str
    """Prompts, golds, candidates and sampling of the first items of each cell under a public seed."""
    grader_digest: str
    """Verdicts on fixed texts about the same items."""
    fathom: str
    """Version and commit: what to check out if a later Fathom generates other items."""

    def to_json(self) -> dict[str, Any]:
        """Return the terms as JSON values."""
        return {**asdict(self), "generators": dict(self.generators)}


@lru_cache(maxsize=4)  # behaviour does not change while a process runs
def terms_of(season: str, suite: str, n: int | None = None) -> Terms:
    """Return the terms of a season under this Fathom; takes some seconds.

    Raises:
        UnknownSuite: there is no such suite.
        EmptySuite: the suite has no cell.
    """
    probe = suite_of(suite, _PROBE_SEED, n)
    return Terms(
        season, suite, probe.version, n, len(probe.cells), probe.n_items, _cells_digest(probe), _generators(probe),
        hash_prompts(probe), hash_verdicts(probe), _fathom(),
    )  # fmt: skip


def _fathom() -> str:
    return f"{version('fathom')} {fathom_commit()}"


def suite_of(name: str, seed: str, n: int | None = None) -> Suite:
    """Return a season's suite under a seed."""
    return open_suite(name, seed, Selection(n=n))


def commitment_of(terms: Mapping[str, Any], secret: bytes) -> str:
    """Return the SHA-256 of the terms (JSON of Terms) with the secret, in hex."""
    return sha256(canonical({**terms, "secret": secret.hex()})).hexdigest()


def season_seed_of(secret: bytes, season: str, beacon: str) -> str:
    """Return the seed of a season's items: the HMAC-SHA256 of its name and beacon under the secret, in hex."""
    return hmac.digest(secret, canonical({"season": season, "beacon": beacon}), "sha256").hex()


def _cells_digest(suite: Suite) -> str:
    """Hash the cells of a suite and how many items each has."""
    return _digest([canonical(suite.to_json())])


def _generators(suite: Suite) -> dict[str, int]:
    """Return the versions of a suite's families."""
    return {cell.family: cell.version for cell in suite.cells}


def hash_prompts(suite: Suite) -> str:
    """Hash the prompts and right answers of the first items of each cell under the public seed."""
    return _digest(
        canonical([item.id, asked.prompt, item.gold, asked.choices, asdict(asked.sampling)])
        for cell in suite.cells
        for item in _probes(cell)
        for asked in [make_request(cell, item, "")]
    )


def hash_verdicts(suite: Suite) -> str:
    """Hash the verdicts on fixed texts about the first items of each cell under the public seed."""
    places = {(cell.family, cell.level, cell.channel): cell for cell in suite.cells}
    return _digest(
        canonical([item.id, verdict_json(grade(find_family(item.family), item, text))])
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
class SeasonCheck:
    """One thing that was checked, and the result."""

    name: str
    ok: bool
    detail: str


def verify_season(document: Mapping[str, Any]) -> tuple[SeasonCheck, ...]:  # JSON from anywhere
    """Check a revealed season: commitment, terms, and every item, generated again from secret and beacon.

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
        suite = suite_of(str(terms.get("suite")), season_seed_of(secret, season, beacon), terms.get("n"))
        now = terms_of(season, suite.name, terms.get("n")).to_json()
    except (FathomError, TaskError, TypeError) as error:
        return (*checks, SeasonCheck("suite", False, f"it cannot be generated again: {error}"))
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
            f"this season is not revealed yet, or the file is incomplete ({', '.join(missing)} missing): "
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


def _same(name: str, said: object, found: object) -> SeasonCheck:
    if said == found:
        return SeasonCheck(name, True, str(said))
    return SeasonCheck(name, False, f"published {said}, found {found}")
