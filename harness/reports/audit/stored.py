"""The audits that come with Fathom, as tables of texts; `fathom audit NAME --out` writes them."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from fathom.harness.format import count, percent

FOLDER = Path(__file__).parent / "results"

AUDIT_COLUMNS = (
    "level", "channel", "style", "chance", "best constant", "best shortcut", "classifier", "second solver", "different",
)  # fmt: skip
"""Columns of StoredAudit.rows."""


@dataclass(frozen=True, slots=True)
class StoredAudit:
    """What was measured of a family, as texts; counts are of all its audited cells."""

    version: int
    is_current: bool
    """Whether the audit is about the version of the family that is asked now."""
    date: str
    n_flawed: int
    """Cells in which an attack earns more than 5 points above chance."""
    n_repeated: int
    """Questions that stand in another seed, among the shots or in training text too."""
    forms: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@cache
def stored_audit(family: str, version: int) -> StoredAudit | None:
    """Return the audit of a family that comes with Fathom; None if there is none, as for families of your own.

    `version` is that of the family as it is asked now.
    """
    path = FOLDER / f"{family}.json"
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    cells = found["cells"]
    repeated = ("n_in_other_seed", "n_in_shots", "n_in_training")
    return StoredAudit(
        found["version"], found["version"] == version, found["date"],
        sum(cell["has_shortcut"] for cell in cells), sum(cell["draws"][name] for cell in cells for name in repeated),
        tuple(f"{one['name']}: {count(one['k'])} of {count(one['n'])}" for one in found["forms"]),
        tuple(_row(cell) for cell in cells),
    )  # fmt: skip


def _row(cell: dict[str, Any]) -> tuple[str, ...]:
    best, draws = cell["shortcuts"][0], cell["draws"]
    return (
        cell["level"], cell["channel"], cell["style"], percent(cell["chance"], 1), _share(cell["constant"]),
        f"{_share(best)} {best['name']}", _share(cell["classifier"]) + "*" * cell["is_one_step"],
        _share(cell["solver"]),
        f"{count(draws['n_distinct'])} of {count(draws['n'])}",
    )  # fmt: skip


def _share(found: dict[str, Any] | None) -> str:
    return "–" if found is None else percent(found["k"] / found["n"], 1)
