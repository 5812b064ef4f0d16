"""Registration of a run of a law: digests of all that decides it, fixed before anything is trained."""

import datetime as dt
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any, Literal

from fathom.harness.engines import decoder_blocks, decoder_shape
from fathom.harness.engines.decoder_shape import PLAIN
from fathom.harness.errors import BadInput
from fathom.harness.stats import seed_effects
from fathom.harness.training.pretrain import optimizer
from fathom.harness.training.token_laws import capacity, decoder, design, judge, people, recall, rings
from fathom.harness.training.token_laws.design import CONFIRMING_SEEDS, FEWEST_SEEDS, PILOT_SEEDS, TokenLaw

RunKind = Literal["confirming", "exploratory"]

_CODE = (
    seed_effects,
    optimizer,
    decoder_shape,
    decoder_blocks,
    decoder,
    design,
    judge,
    people,
    recall,
    rings,
    capacity,
)
"""Modules that decide the numbers of every law, beside the law's own."""


@dataclass(frozen=True, slots=True)
class Registration:
    """What a run will do, with a digest of each part of 16 hex digits."""

    law: str
    kind: RunKind
    scale: str
    shape: str
    """Of all its models, by its name in `decoder_shape.SHAPES`."""
    seeds: tuple[int, ...]
    rule: str
    margin: float
    gates: str
    recipes: Mapping[str, str]
    """By condition."""
    code: str

    @property
    def digest(self) -> str:
        """Digest of all of it."""
        return digest_of(asdict(self))

    def changed_since(self, earlier: Mapping[str, Any]) -> list[str]:  # JSON of a Registration
        """Return the names of the parts that differ from an earlier registration."""
        now = json.loads(json.dumps(asdict(self)))
        changed = [name for name in now if name != "recipes" and now[name] != earlier.get(name)]
        before = earlier.get("recipes") or {}
        names = dict.fromkeys((*now["recipes"], *before))
        return changed + [f"recipe of {one}" for one in names if now["recipes"].get(one) != before.get(one)]


def register(law: TokenLaw, kind: RunKind, n_seeds: int, shape: str = PLAIN, scale: str = "cpu") -> Registration:
    """Return the registration of a run with the first n seeds of its kind; `shape` is that of the law's models.

    Raises:
        BadInput: too few seeds for a verdict, or more than there are.
    """
    seeds, fewest = (CONFIRMING_SEEDS, FEWEST_SEEDS) if kind == "confirming" else (PILOT_SEEDS, 2)
    if not fewest <= n_seeds <= len(seeds):
        raise BadInput(f"--seeds {n_seeds}: a run that is {kind} has {fewest} to {len(seeds)} seeds")
    return Registration(
        law.name, kind, scale, shape, seeds[:n_seeds],
        digest_of([law.rule_text, asdict(law.rule)]), law.rule.margin, digest_of([asdict(one) for one in law.gates]),
        {one.name: digest_of([asdict(one.recipe), one.after, one.seed_shift]) for one in law.conditions},
        _code_digest(law),
    )  # fmt: skip


def registration_json(registration: Registration, when: dt.datetime) -> dict[str, Any]:
    """Return a registration as JSON values, with its digest and time."""
    return {**asdict(registration), "digest": registration.digest, "registered": when.isoformat(timespec="seconds")}


def digest_of(values: Sequence[Any] | Mapping[str, Any]) -> str:  # JSON values
    """Return a digest of JSON values, whatever the order of keys; 16 hex digits."""
    return blake2b(json.dumps(values, sort_keys=True).encode(), digest_size=8).hexdigest()


def _code_digest(law: TokenLaw) -> str:
    modules = [*_CODE, sys.modules[law.train.__module__]]
    return digest_of([inspect.getsource(one) for one in modules])
