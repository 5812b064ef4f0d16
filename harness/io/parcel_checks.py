"""Checks of a parcel's header that every board makes, so that `fathom submit` refuses what a board would."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fathom.harness.engines.model_name import is_hub_id
from fathom.harness.errors import BadInput
from fathom.harness.io.parcel import ParcelCell, ParcelHeader
from fathom.harness.runs.run_settings import MOST_SHOTS, PromptSettings
from fathom.tasks.base import Cell, check_cell
from fathom.tasks.registry import own_families
from fathom.tasks.stream import canonical_seed
from fathom.tasks.suite_tables import SUITE_VERSION
from fathom.tasks.suites import Suite, SuiteCell, suite_names

_MAX_ITEMS = 200_000
"""Items of one upload."""
SAMPLING = {"temperature": 0.0, "temperature_free": 1.0}
"""Settings that the answers on a board were made with."""


@dataclass(frozen=True, slots=True)
class CheckedParcel:
    """What a header announces: the items, and how the model was asked."""

    suite: Suite
    asked: PromptSettings


def check_parcel(header: ParcelHeader) -> CheckedParcel:
    """Check a header as far as every board does; a board also knows its seasons and its reserved names.

    Raises:
        BadInput, TaskError: says what is wrong and what to do.
    """
    if not is_hub_id(header.model):
        raise BadInput(
            f"model: {header.model[:100]!r} is not a hub id such as org/name: give one with `fathom submit --model`"
        )
    suite = _suite(header)
    if header.season:
        raise BadInput(
            "season: only a board's own workers run a season: submit the model, or send a run on the practice seed or "
            "on a seed of your own"
        )
    return CheckedParcel(suite, _check_sampling(header.manifest))


def _suite(header: ParcelHeader) -> Suite:
    if header.suite not in suite_names() or header.version != SUITE_VERSION:
        raise BadInput(
            f"suite: a board asks {', '.join(suite_names())} of version {SUITE_VERSION}, and this is "
            f"{header.suite} {header.version}: run it again with this version of Fathom"
        )
    cells = tuple(_cell(one) for one in header.cells)
    if len({cell.cell for cell in cells}) < len(cells):
        raise BadInput("cells: one of them stands twice")
    suite = Suite(header.suite, header.version, canonical_seed(header.seed), cells)
    if suite.seed != header.seed:
        raise BadInput(f"seed: write it as {suite.seed[:80]}")
    if suite.n_items > _MAX_ITEMS:
        raise BadInput(f"cells: {suite.n_items} items are more than the {_MAX_ITEMS} allowed: send fewer")
    return suite


def _cell(one: ParcelCell) -> SuiteCell:
    family = own_families().get(one.family)
    if family is None:
        raise BadInput(f"cells: {one.family[:40]!r} is no family of Fathom's own, and a board takes no others")
    if family.version != one.version:
        raise BadInput(
            f"cells: {one.family}@{one.version} is not what a board asks, which is {one.family}@{family.version}: "
            "run it again with this version of Fathom"
        )
    check_cell(Cell(one.family, one.level, one.channel, one.style), family)
    return SuiteCell(one.family, one.version, one.level, one.channel, one.style, one.n)


def _check_sampling(manifest: Mapping[str, Any]) -> PromptSettings:  # JSON of a Manifest
    """Return how the model was asked; all other settings must be the defaults of `fathom run`."""
    decisive = manifest.get("decisive")
    stated = decisive.get("sampling") if isinstance(decisive, dict) else None
    if not isinstance(stated, dict):
        raise BadInput("manifest: decisive.sampling is missing, so it is unknown how the answers were made")
    for name, ours in SAMPLING.items():
        found = stated.get(name)
        if isinstance(found, bool) or found != ours:
            raise BadInput(f"manifest: sampling.{name} is {str(found)[:40]!r} and must be {ours:g} to be compared here")
    chat, shots = stated.get("chat_template", False), stated.get("shots")
    if type(shots) is not int or not 0 <= shots <= (0 if chat else MOST_SHOTS):
        raise BadInput(
            f"manifest: sampling.shots is {str(shots)[:40]!r}: in a chat there are none here, and in plain text "
            f"{MOST_SHOTS} at most"
        )
    others = set(stated) - set(SAMPLING) - {"chat_template", "shots"}
    if not isinstance(chat, bool) or others:
        raise BadInput("manifest: sampling has settings that no board knows, so the run cannot be compared")
    return PromptSettings(shots, chat)
