"""Sealed runs: while a season runs, its items must not be readable, also not from the answers of models."""

from collections.abc import Mapping
from typing import Any

from fathom.harness.errors import NotAllowed

SEALED = "sealed until the season ends"


class SealedRun(NotAllowed):
    """The run's season has not revealed its seed, so its items may not be shown."""


def check_unsealed(sealed: bool, season: str) -> None:
    """Refuse to show an item or an answer before its season is revealed.

    Raises:
        SealedRun: its message names items that may be shown.
    """
    if sealed:
        raise SealedRun(
            f"the questions and answers of season {season} are {SEALED}, or they would no longer be unseen; "
            f"the page /seasons/{season} names a practice seed, whose items everybody may read"
        )


def redact(manifest: Mapping[str, Any]) -> dict[str, Any]:  # JSON of harness.records.Manifest
    """Return a sealed run's manifest without the seed and the digest of all prompts and golds."""
    decisive = manifest.get("decisive", {})
    suite = {**decisive.get("suite", {}), "seed": SEALED, "digest": SEALED}
    return {**manifest, "decisive": {**decisive, "suite": suite}}
