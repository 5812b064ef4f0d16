"""Keep what a season's items are to ourselves while it runs: nobody may learn them from what models made of them."""

from collections.abc import Mapping
from typing import Any

from fathom.harness.errors import NotAllowed

SEALED = "sealed until the season ends"


class SealedRun(NotAllowed):
    """The run's items are those of a season that has not been revealed."""


def check_unsealed(sealed: bool, season: str) -> None:
    """Refuse to show an item, or what a model made of it, before its season is revealed.

    Raises:
        SealedRun: with the way to items that may be seen.
    """
    if sealed:
        raise SealedRun(
            f"the questions and answers of season {season} are {SEALED}, or they would no longer be unseen; "
            f"the page /seasons/{season} names a practice seed, whose items anybody may read"
        )


def redact(manifest: Mapping[str, Any]) -> dict[str, Any]:  # JSON of provenance.Manifest
    """Return a sealed run's manifest without the seed and the digest of all prompts and golds."""
    decisive = manifest.get("decisive", {})
    suite = {**decisive.get("suite", {}), "seed": SEALED, "digest": SEALED}
    return {**manifest, "decisive": {**decisive, "suite": suite}}
