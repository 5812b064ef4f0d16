"""A submission as somebody sends it: its fields, what is wrong with them, and how it becomes a stored submission."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool

from fathom.harness.engines.model import folder_digest
from fathom.harness.errors import BadSubmission, Finding, fault_text
from fathom.harness.runs.prompt_format import PromptFormat
from fathom.harness.service.seasons.store import Season
from fathom.harness.settings import ServiceSettings
from fathom.server.jobs.workers import engine_of_board, read_workers
from fathom.server.submissions.examine import (
    ExaminedModel,
    ModelChoice,
    bad_model_name,
    can_be_examined,
    examine,
    read_address,
)
from fathom.server.submissions.repository import is_model_id, is_revision
from fathom.server.submissions.store import NewSubmission, create
from fathom.server.web.actor import Actor, require
from fathom.server.web.rate_limits import count_use
from fathom.tasks.suites import suite_names

MODEL_DTYPES = ("auto", "bfloat16", "float16", "float32")
MODEL_STYLES = ("direct", "cot", "choice")
_CHAT_CHOICES = {"true": True, "false": False}
"""Of the browser's form; anything else leaves it to the model's files."""
MAX_NOTE, MAX_CONTACT, _MAX_TEXT = 1000, 200, 200
_CHECKS_AN_HOUR = 60
"""Submissions of one user, right or wrong, that are checked in an hour."""


class SubmissionIn(BaseModel):
    """A model for our workers to run."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str = Field(
        description="Id on the hub, as org/name, or the address of its page; on a board without accounts also a folder."
    )
    revision: str = Field(default="main", description="Branch, tag or commit; its present commit is run.")
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(default="auto", description="Precision.")
    style: Literal["", "direct", "cot", "choice"] = Field(default="", description="One style; empty: all.")
    chat_template: bool | None = Field(
        default=None, description="Whether to use the model's chat template; null: if it has one."
    )
    suite: str = Field(default="quick", description="Suite; a season has its own.")
    season: str = Field(default="", description="Name of an open season; empty: practice.")
    note: str = Field(default="", description=f"Shown with the submission; at most {MAX_NOTE} characters.")
    contact: str = Field(default="", description="Shown to you and to admins only.")


@dataclass(frozen=True, slots=True)
class SubmissionForm:
    """The fields as sent, right or wrong."""

    model: str = ""
    revision: str = "main"
    dtype: str = "auto"
    style: str = ""
    chat_template: bool | None = None
    """None: as the model's files say."""
    suite: str = "quick"
    season: str = ""
    note: str = ""
    contact: str = ""

    def with_suite_of_season(self, seasons: Collection[Season]) -> "SubmissionForm":
        """Return the form with its season's suite, if it names a season."""
        suite = next((season.suite for season in seasons if season.id == self.season), self.suite)
        return replace(self, suite=suite)

    def without_address(self, hub: str) -> "SubmissionForm":
        """Return the form with id and revision in place of a hub's address."""
        model, revision = read_address(self.model, self.revision, hub)
        return replace(self, model=model, revision=revision)

    @property
    def choice(self) -> ModelChoice:
        """The model, and how it is to be run."""
        return ModelChoice(self.model, self.revision, self.dtype, self.chat_template)


async def submit_model(request: Request, actor: Actor, form: SubmissionForm, seasons: Sequence[Season]) -> str:
    """Check a submission and store it; return its id. `seasons` are the open ones.

    Raises:
        NotSignedIn, NotAllowed: the actor may not submit.
        BadSubmission: with everything that is wrong.
        AlreadySubmitted: the same was submitted before.
        TooMany, Busy: the quota is used up; too many submissions are being checked.
    """
    owner = require(actor, "submit")
    service, site = request.app.state.service, request.app.state.site
    if not actor.is_admin:
        await run_in_threadpool(count_use, site.db, f"check:{owner}", _CHECKS_AN_HOUR, 3600)
    form = form.without_address(service.hub)
    findings = check_fields(form, seasons)
    if not can_be_examined(request, form.choice):
        raise BadSubmission([*findings, *_bad_names(request, form)])
    try:
        found = await examine(request, form.choice, str(owner))
    except BadSubmission as error:
        raise BadSubmission([*findings, *error.findings]) from error
    asked = found.report.prompt_format
    if asked is None or findings or found.report.findings:
        raise BadSubmission([*findings, *found.report.findings])
    engine = await run_in_threadpool(_engine, site.db, service)
    new = await run_in_threadpool(_new, form, found, asked, engine)
    quota = None if actor.is_admin else service.daily_submissions
    submission = await run_in_threadpool(create, site.db, new, owner, quota)
    request.app.state.background.wake()
    return submission


def _bad_names(request: Request, form: SubmissionForm) -> list[Finding]:
    found = [] if is_model_id(form.model) else [*bad_model_name(request, form.model)]
    if not is_revision(form.revision):
        fix = "Give a branch, a tag or a commit; main is the usual branch."
        found.append(Finding("revision", "This is not a revision.", fix, "bad_revision"))
    return found


def _engine(db: Engine, service: ServiceSettings) -> str:
    return engine_of_board(service, read_workers(db))


def _new(form: SubmissionForm, found: ExaminedModel, asked: PromptFormat, engine: str) -> NewSubmission:
    """Return the submission of a model that passed the checks; a folder is pinned to the digest of its files."""
    report, local = found.report, found.folder
    flags = {one.code: {"problem": one.problem, "fix": one.fix} for one in report.warnings}
    new = NewSubmission(
        found.name, form.revision, found.sha, form.suite, form.dtype, form.style, asked.chat, asked.n_shots,
        form.season, form.note, form.contact, engine, n_parameters=report.n_parameters, n_bytes=report.n_bytes,
        model_kind=report.kind, flags=flags,
    )  # fmt: skip
    if local is None:
        return new
    return replace(new, revision="", sha=folder_digest(local.path), folder=str(local.path))


def read_fields(sent: Mapping[str, str]) -> SubmissionForm:
    """Read the fields of a browser's form, without blanks around them."""
    texts = {one.name: sent[one.name].strip() for one in fields(SubmissionForm) if one.name in sent}
    chat = _CHAT_CHOICES.get(texts.pop("chat_template", ""))
    return SubmissionForm(**{"revision": "main", **texts, "chat_template": chat})  # type: ignore[arg-type]  # texts but one


def read_submission_json(body: bytes) -> SubmissionForm:
    """Read a JSON body.

    Raises:
        BadSubmission: the body does not match `SubmissionIn`, with a finding for each field.
    """
    try:
        return SubmissionForm(**SubmissionIn.model_validate_json(body).model_dump())
    except ValidationError as error:
        raise BadSubmission([_finding(one) for one in error.errors(include_url=False)]) from error


def _finding(error: Mapping[str, Any]) -> Finding:  # pydantic's own shape
    field = str(error["loc"][0])[:60] if error["loc"] else "body"
    said = "the body is not JSON" if error["type"] == "json_invalid" else fault_text(error)
    return Finding(field, f"{said[:200]}.", "See /api for the fields.", "bad_field")


def check_fields(form: SubmissionForm, seasons: Collection[Season]) -> list[Finding]:
    """Return what is wrong with the fields beside the model; `seasons` are the open ones."""
    found = []

    def say(field: str, problem: str, fix: str) -> None:
        found.append(Finding(field, problem, fix, f"bad_{field}"))

    for field, value, known in (
        ("dtype", form.dtype, MODEL_DTYPES), ("style", form.style, ("", *MODEL_STYLES)),
        ("suite", form.suite, suite_names()),
    ):  # fmt: skip
        if value not in known:
            say(field, "There is no such choice.", f"Choose one of: {', '.join(one or 'all' for one in known)}.")
    if form.season and form.season not in {season.id for season in seasons}:
        say("season", "No season of this name is open.", "Choose an open one, or practice.")
    for field, text, longest in (("note", form.note, MAX_NOTE), ("contact", form.contact, MAX_CONTACT)):
        if len(text) > longest:
            say(field, f"This has {len(text):,} characters.", f"Shorten it to {longest:,}.")
    return found


def refill_values(form: SubmissionForm) -> dict[str, Any]:
    """Return the fields for showing the form again: shortened, without hidden characters."""
    fields_now = asdict(form)
    for name, value in fields_now.items():
        if isinstance(value, str):
            plain = "".join(char for char in value if char.isprintable() or char in "\n\t")
            fields_now[name] = plain[: MAX_NOTE if name == "note" else _MAX_TEXT]
    return fields_now
