"""Turn a parcel's header into an upload that may begin, or say why it may not."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from sqlalchemy import Engine

from fathom.harness.db.write import NewRun
from fathom.harness.errors import BadInput
from fathom.harness.format import visible
from fathom.harness.io.parcel import CellLine, Header
from fathom.harness.io.strict_json import _TEXT, texts
from fathom.harness.runs.manifest import Manifest
from fathom.harness.service.seasons.seeds import season_of_seed
from fathom.server.uploads.store import NewUpload
from fathom.tasks.base import Cell, check_cell
from fathom.tasks.registry import find_family
from fathom.tasks.stream import canonical_seed
from fathom.tasks.suites import VERSION, Suite, SuiteCell, suite_names

MOST_ITEMS = 200_000
"""Items of one upload."""


_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[\w.-]{1,96}", re.ASCII)


_OWN = ("reference/", "oracle/", "demo/")


_SAMPLING = {"temperature": 0.0, "temperature_free": 1.0, "shots": 0}


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends results; `local` where the server is the sender's own machine."""

    owner_id: int
    actor: str
    local: bool = False
    secret_key: str = ""
    """The server's key, to know the seeds of its seasons."""


def admit(db: Engine, header: Header, sender: Sender) -> NewUpload:
    """Check a header against what this server can make and grade.

    Raises:
        BadInput: with what is wrong and what to do.
    """
    _check_model(header.model, sender)
    suite = _suite(header)
    _check_season(db, header, suite.seed, sender)
    templated = _check_sampling(header.manifest)
    manifest = _manifest(header, suite, templated)
    same = (
        "upload", str(sender.owner_id), header.model, header.model_digest, header.sha, header.engine, header.dtype,
        str(templated), header.suite_digest,
    )  # fmt: skip
    run = NewRun(
        header.model, header.engine, suite, header.suite_digest, manifest.to_json(), manifest.digest(),
        header.n_parameters, header.kind,
    )  # fmt: skip
    fingerprint = blake2b("\0".join(same).encode(), digest_size=16).hexdigest()
    return NewUpload(
        run, sender.owner_id, sender.actor, header.sha, header.dtype, templated, fingerprint, header.seconds
    )  # fmt: skip


def _check_model(name: str, sender: Sender) -> None:
    if not _HUB_ID.fullmatch(name) or ".." in name or "--" in name:
        raise BadInput(f"model: {name[:100]!r} is no hub id such as org/name: give one with `fathom submit --model`")
    if name.startswith(_OWN) and not sender.local:
        raise BadInput(f"model: names that begin with {name.partition('/')[0]}/ are the server's own: give a hub id")


def _suite(header: Header) -> Suite:
    if header.suite not in suite_names() or header.version != VERSION:
        raise BadInput(
            f"suite: this server asks {', '.join(suite_names())} of version {VERSION}, and this is {header.suite} "
            f"{header.version}: run it again with the server's version of Fathom"
        )
    cells = tuple(_cell(one) for one in header.cells)
    if len({cell.cell for cell in cells}) < len(cells):
        raise BadInput("cells: one of them stands twice")
    suite = Suite(header.suite, header.version, canonical_seed(header.seed), cells)
    if suite.seed != header.seed:
        raise BadInput(f"seed: write it as {suite.seed[:80]}")
    if suite.n_items > MOST_ITEMS:
        raise BadInput(f"cells: {suite.n_items} items are more than the {MOST_ITEMS} that are taken: send less of them")
    return suite


def _cell(one: CellLine) -> SuiteCell:
    family = find_family(one.family)
    if family.version != one.version:
        raise BadInput(
            f"cells: {one.family}@{one.version} is not what this server asks, which is {one.family}@{family.version}: "
            "run it again with the server's version of Fathom"
        )
    check_cell(Cell(one.family, one.level, one.channel, one.style), family)
    return SuiteCell(one.family, one.version, one.level, one.channel, one.style, one.n)


def _check_season(db: Engine, header: Header, seed: str, sender: Sender) -> None:
    if header.season:
        raise BadInput(
            "season: results of a season are made by this server's workers alone: submit the model, or send a run on "
            "the practice seed or on a seed of your own"
        )
    season = season_of_seed(db, seed, sender.secret_key)
    if season is None:
        return
    if season.public:
        raise BadInput(
            f"seed: this is the seed of season {season.name}, which is over: its items are public. Run it again on a "
            "seed of your own"
        )
    raise BadInput(f"seed: this is another season's seed ({season.name}), which only this server may know")


def _check_sampling(manifest: Mapping[str, Any]) -> bool:  # JSON of provenance.Manifest
    """Return whether a chat template was used; anything else must be as `fathom run` has it."""
    decisive = manifest.get("decisive")
    stated = decisive.get("sampling") if isinstance(decisive, dict) else None
    if not isinstance(stated, dict):
        raise BadInput("manifest: decisive.sampling is missing, so nobody can tell how the answers were made")
    for name, ours in _SAMPLING.items():
        found = stated.get(name)
        if isinstance(found, bool) or found != ours:
            raise BadInput(f"manifest: sampling.{name} is {str(found)[:40]!r} and must be {ours:g} to be compared here")
    templated = stated.get("chat_template", False)
    others = set(stated) - set(_SAMPLING) - {"chat_template"}
    if not isinstance(templated, bool) or others:
        raise BadInput("manifest: sampling holds something that this server does not know, so it cannot be compared")
    return templated


def _manifest(header: Header, suite: Suite, templated: bool) -> Manifest:
    """Write the manifest anew from what was checked, and keep the sender's words as plain texts only.

    An honest sender's digest comes out again.
    """
    decisive = header.manifest["decisive"]
    packages = decisive.get("engine", {}).get("packages", {}) if isinstance(decisive.get("engine"), dict) else {}
    context = header.manifest.get("context")
    facts = header.manifest.get("engine_facts")
    return Manifest(
        {
            "model": {"name": header.model, "digest": header.model_digest},
            "engine": {"name": header.engine, "packages": texts(packages)},
            "suite": {
                "name": suite.name, "version": suite.version, "seed": suite.seed, "digest": header.suite_digest
            },
            "families": {cell.family: cell.version for cell in suite.cells},
            "sampling": {**_SAMPLING, "chat_template": templated},
            "lm_eval": visible(str(decisive.get("lm_eval", "")))[:_TEXT],
            **_template(decisive, templated),
        },
        {"sender": {**texts(context), **texts(facts)}, "uploaded": "regraded here from completions sent by a user"},
    )  # fmt: skip


def _template(decisive: Mapping[str, Any], templated: bool) -> dict[str, str]:  # JSON values
    """Return the digest of a chat's template, where one was used and the sender's manifest has it."""
    found = decisive.get("chat_template")
    if not (templated and isinstance(found, str) and re.fullmatch(r"[0-9a-f]{32}", found)):
        return {}
    return {"chat_template": found}
