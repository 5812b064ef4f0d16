"""Checks of an upload's header: whether this server can generate, grade and compare the results."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from sqlalchemy import Engine

from fathom.harness.db.write import NewRun
from fathom.harness.engines.model_name import RESERVED, is_hub_id
from fathom.harness.errors import BadInput
from fathom.harness.format import visible
from fathom.harness.io.parcel import ParcelCell, ParcelHeader
from fathom.harness.io.strict_json import MOST_CHARACTERS, flat_texts
from fathom.harness.records import Manifest
from fathom.harness.runs.run_settings import MOST_SHOTS, PromptSettings
from fathom.harness.service.seasons.seeds import season_of_seed
from fathom.server.uploads.store import NewUpload
from fathom.tasks.base import Cell, check_cell
from fathom.tasks.registry import find_family
from fathom.tasks.stream import canonical_seed
from fathom.tasks.suite_tables import SUITE_VERSION
from fathom.tasks.suites import Suite, SuiteCell, suite_names

_MAX_ITEMS = 200_000
"""Items of one upload."""
_DIGEST = re.compile(r"[0-9a-f]{32}", re.ASCII)
_SAMPLING = {"temperature": 0.0, "temperature_free": 1.0}


@dataclass(frozen=True, slots=True)
class Sender:
    """The sender of results; `local` where the server runs on the sender's own machine."""

    owner_id: int
    actor: str
    local: bool = False
    secret_key: str = ""
    """The server's key, which gives the seeds of its seasons."""


def check_header(db: Engine, header: ParcelHeader, sender: Sender) -> NewUpload:
    """Return the upload that a header announces, if this server can grade and compare it.

    Raises:
        BadInput: says what is wrong and what to do.
    """
    _check_model(header.model, sender)
    suite = _suite(header)
    _check_season(db, header, suite.seed, sender)
    asked = _check_sampling(header.manifest)
    manifest = _manifest(header, suite, asked)
    same = (
        "upload", str(sender.owner_id), header.model, header.model_digest, header.sha, header.engine, header.dtype,
        f"{asked.chat}{asked.n_shots or ''}", header.suite_digest,
    )  # fmt: skip
    run = NewRun(
        header.model, header.engine, suite, header.suite_digest, manifest.to_json(), manifest.digest(),
        header.n_parameters, header.kind,
    )  # fmt: skip
    fingerprint = blake2b("\0".join(same).encode(), digest_size=16).hexdigest()
    return NewUpload(
        run, sender.owner_id, sender.actor, header.sha, header.dtype, asked, fingerprint, header.seconds
    )  # fmt: skip


def _check_model(name: str, sender: Sender) -> None:
    if not is_hub_id(name):
        raise BadInput(f"model: {name[:100]!r} is not a hub id such as org/name: give one with `fathom submit --model`")
    if name.casefold().startswith(RESERVED) and not sender.local:
        raise BadInput(
            f"model: names that begin with {name.partition('/')[0]}/ are reserved for the server: give a hub id"
        )


def _suite(header: ParcelHeader) -> Suite:
    if header.suite not in suite_names() or header.version != SUITE_VERSION:
        raise BadInput(
            f"suite: this server asks {', '.join(suite_names())} of version {SUITE_VERSION}, and this is "
            f"{header.suite} {header.version}: run it again with the server's version of Fathom"
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
    family = find_family(one.family)
    if family.version != one.version:
        raise BadInput(
            f"cells: {one.family}@{one.version} is not what this server asks, which is {one.family}@{family.version}: "
            "run it again with the server's version of Fathom"
        )
    check_cell(Cell(one.family, one.level, one.channel, one.style), family)
    return SuiteCell(one.family, one.version, one.level, one.channel, one.style, one.n)


def _check_season(db: Engine, header: ParcelHeader, seed: str, sender: Sender) -> None:
    if header.season:
        raise BadInput(
            "season: only this server's workers run a season: submit the model, or send a run on the practice seed or "
            "on a seed of your own"
        )
    season = season_of_seed(db, seed, sender.secret_key)
    if season is None:
        return
    if season.public:
        raise BadInput(
            f"seed: this is the seed of season {season.name}, which is over: its items are public. Run it again on a "
            "seed of your own"
        )
    raise BadInput(f"seed: this is the seed of season {season.name}, which only this server may know")


def _check_sampling(manifest: Mapping[str, Any]) -> PromptSettings:  # JSON of a Manifest
    """Return how the model was asked; all other settings must be the defaults of `fathom run`."""
    decisive = manifest.get("decisive")
    stated = decisive.get("sampling") if isinstance(decisive, dict) else None
    if not isinstance(stated, dict):
        raise BadInput("manifest: decisive.sampling is missing, so it is unknown how the answers were made")
    for name, ours in _SAMPLING.items():
        found = stated.get(name)
        if isinstance(found, bool) or found != ours:
            raise BadInput(f"manifest: sampling.{name} is {str(found)[:40]!r} and must be {ours:g} to be compared here")
    chat, shots = stated.get("chat_template", False), stated.get("shots")
    if type(shots) is not int or not 0 <= shots <= (0 if chat else MOST_SHOTS):
        raise BadInput(
            f"manifest: sampling.shots is {str(shots)[:40]!r}: in a chat there are none here, and in plain text "
            f"{MOST_SHOTS} at most"
        )
    others = set(stated) - set(_SAMPLING) - {"chat_template", "shots"}
    if not isinstance(chat, bool) or others:
        raise BadInput("manifest: sampling has settings that this server does not know, so the run cannot be compared")
    return PromptSettings(shots, chat)


def _manifest(header: ParcelHeader, suite: Suite, asked: PromptSettings) -> Manifest:
    """Write a new manifest from the checked header; other texts of the sender are kept as plain text only.

    For an unaltered run the digest is the sender's own.
    """
    decisive = header.manifest["decisive"]
    packages = decisive.get("engine", {}).get("packages", {}) if isinstance(decisive.get("engine"), dict) else {}
    context = header.manifest.get("context")
    facts = header.manifest.get("engine_facts")
    checked = {
        "model": {"name": header.model, "digest": header.model_digest},
        "engine": {"name": header.engine, "packages": flat_texts(packages)},
        "suite": {"name": suite.name, "version": suite.version, "seed": suite.seed, "digest": header.suite_digest},
        "families": {cell.family: cell.version for cell in suite.cells},
        "sampling": {**_SAMPLING, "shots": asked.n_shots, "chat_template": asked.chat},
        "lm_eval": visible(str(decisive.get("lm_eval", "")))[:MOST_CHARACTERS],
        **({"token_budgets": budgets} if _DIGEST.fullmatch(budgets := str(decisive.get("token_budgets"))) else {}),
        **_template(decisive, asked.chat),
    }
    sender = {**flat_texts(context), **flat_texts(facts)}
    around = {"sender": sender, "uploaded": "regraded here from completions sent by a user"}
    return Manifest.read({"decisive": checked, "context": around})


def _template(decisive: Mapping[str, Any], templated: bool) -> dict[str, str]:  # JSON values
    """Return the digest of the chat template, where one was used and the sender's manifest has it."""
    found = decisive.get("chat_template")
    if not (templated and isinstance(found, str) and _DIGEST.fullmatch(found)):
        return {}
    return {"chat_template": found}
