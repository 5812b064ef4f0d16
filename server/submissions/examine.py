"""Reads a model that somebody names, on the hub or in a folder of this machine, and checks it; nothing is stored."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from fathom.harness.errors import Finding
from fathom.server.submissions.folders import LocalModel, find_folder, is_local, may_name_folders, read_folder
from fathom.server.submissions.hub import HubClient
from fathom.server.submissions.model_checks import ModelReport, RunChoice, check_model
from fathom.server.submissions.repository import Repository, is_model_id, is_revision

_PATH = re.compile(r"/([^/]+/[^/]+)(?:/(?:tree|blob|resolve|commit)/([^/]+).*)?/?")
_HUBS = ("huggingface.co", "www.huggingface.co", "hf.co")


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A model as somebody names it, and how it is to be run."""

    model: str
    revision: str = "main"
    dtype: str = "auto"
    chat_template: bool | None = None


@dataclass(frozen=True, slots=True)
class ExaminedModel:
    """What a model's files say; `folder` is None for a model of the hub, `sha` empty for a folder."""

    name: str
    sha: str
    report: ModelReport
    folder: LocalModel | None = None


def read_address(model: str, revision: str, hub: str) -> tuple[str, str]:
    """Return id and revision where a text is the address of a model's page on the hub; else the text as it is."""
    if not model.startswith(("http://", "https://")):
        return model, revision
    try:
        parts = urlsplit(model)
        found = _PATH.fullmatch(parts.path) if parts.hostname in (*_HUBS, urlsplit(hub).hostname) else None
    except ValueError:
        return model, revision
    if found is None:
        return model, revision
    return unquote(found[1]), unquote(found[2] or revision)


def can_be_examined(request: Request, choice: ModelChoice) -> bool:
    """Say whether the text can mean a model at all: one of this machine, for who may name it, or a hub id."""
    if names_folder(request, choice.model):
        return True
    return is_model_id(choice.model) and is_revision(choice.revision)


def names_folder(request: Request, model: str) -> bool:
    """Say whether a text means a model of this machine, and this request may name one; the disk is not asked."""
    return is_local(model) and may_name_folders(request.scope, request.app.state.service)


async def examine(request: Request, choice: ModelChoice, who: str) -> ExaminedModel:
    """Read and check a model that `can_be_examined`; `who` is the user who asks.

    Raises:
        BadSubmission: there is no such model, or it cannot be read; what the checks find is in the report instead.
        Busy, TooMany: too many models are being read.
    """
    wanted = RunChoice(choice.dtype, choice.chat_template, request.app.state.service.max_bytes)
    if names_folder(request, choice.model):
        return await run_in_threadpool(_examine_folder, choice.model, wanted)
    hub: HubClient = request.app.state.hub
    repository = await hub.read_repository(choice.model, choice.revision, who)
    # parsing large headers may take a second
    report = await run_in_threadpool(check_model, repository, wanted)
    return ExaminedModel(repository.model, repository.sha, report)


def _examine_folder(model: str, wanted: RunChoice) -> ExaminedModel:
    local = find_folder(model)
    repository: Repository = read_folder(local)
    report = replace(check_model(repository, wanted), warnings=())  # they are for what others read
    return ExaminedModel(local.name, "", report, local)


def bad_model_name(request: Request, model: str) -> Sequence[Finding]:
    """Return what is wrong with a text that means no model; the same for every path, whatever is on the disk."""
    if model.startswith(("/", "~")) and request.app.state.service.oidc is None:
        fix = "Open the board on the machine where it runs."
        return [Finding("model", "A folder can be named on its own machine only.", fix, "bad_model")]
    return [Finding("model", "This is not a model id.", "Write organisation, slash, name, as on the hub.", "bad_model")]
