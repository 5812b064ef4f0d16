"""Checks of an upload's header: whether this server can generate, grade and compare the results."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from sqlalchemy import Engine

from fathom.harness.db.write import NewRun
from fathom.harness.engines.model_name import RESERVED
from fathom.harness.errors import BadInput
from fathom.harness.format import visible
from fathom.harness.io.parcel import ParcelHeader
from fathom.harness.io.parcel_checks import SAMPLING, check_parcel
from fathom.harness.io.strict_json import MOST_CHARACTERS, flat_texts
from fathom.harness.records import Manifest
from fathom.harness.runs.run_settings import PromptSettings
from fathom.harness.service.seasons.seeds import season_of_seed
from fathom.server.uploads.store import NewUpload
from fathom.tasks.suites import Suite

_DIGEST = re.compile(r"[0-9a-f]{32}", re.ASCII)


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
    parcel = check_parcel(header)
    suite, asked = parcel.suite, parcel.asked
    _check_season(db, suite.seed, sender)
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
    if name.casefold().startswith(RESERVED) and not sender.local:
        raise BadInput(
            f"model: names that begin with {name.partition('/')[0]}/ are reserved for the server: give a hub id"
        )


def _check_season(db: Engine, seed: str, sender: Sender) -> None:
    season = season_of_seed(db, seed, sender.secret_key)
    if season is None:
        return
    if season.public:
        raise BadInput(
            f"seed: this is the seed of season {season.name}, which is over: its items are public. Run it again on a "
            "seed of your own"
        )
    raise BadInput(f"seed: this is the seed of season {season.name}, which only this server may know")


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
        "sampling": {**SAMPLING, "shots": asked.n_shots, "chat_template": asked.chat},
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
