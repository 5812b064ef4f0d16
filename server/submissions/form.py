"""A submission as somebody sends it: its fields, what is wrong with them, and how it becomes a stored submission."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from fathom.harness.errors import BadSubmission, Finding
from fathom.harness.service.seasons.store import Season
from fathom.server.submissions.hub import HubClient
from fathom.server.submissions.model_checks import RunChoice, check_model
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

    model: str = Field(description="Id on the hub, as org/name.")
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


async def submit_model(request: Request, actor: Actor, form: SubmissionForm, seasons: Sequence[Season]) -> str:
    """Check a submission and store it; return its id. `seasons` are the open ones.

    Raises:
        NotSignedIn, NotAllowed: the actor may not submit.
        BadSubmission: with everything that is wrong.
        AlreadySubmitted: the same was submitted before.
        TooMany, Busy: the quota is used up; too many submissions are being checked.
    """
    owner = require(actor, "submit")
    service, hub, site = request.app.state.service, request.app.state.hub, request.app.state.site
    if not actor.is_admin:
        await run_in_threadpool(count_use, site.db, f"check:{owner}", _CHECKS_AN_HOUR, 3600)
    choice = RunChoice(form.dtype, form.chat_template, service.max_bytes)
    findings = check_fields(form, seasons)
    new, found = await _check_on_hub(hub, form, choice, str(owner))
    if new is None or findings or found:
        raise BadSubmission([*findings, *found])
    quota = None if actor.is_admin else service.daily_submissions
    submission = await run_in_threadpool(create, site.db, new, owner, quota)
    request.app.state.background.wake()
    return submission


async def _check_on_hub(
    hub: HubClient, form: SubmissionForm, choice: RunChoice, who: str
) -> tuple[NewSubmission | None, Sequence[Finding]]:  # fmt: skip
    """Read the model's repository, if its name is possible; return the submission and what is wrong with the model."""
    if not is_model_id(form.model) or not is_revision(form.revision):
        return None, ()
    try:
        repository = await hub.read_repository(form.model, form.revision, who)
    except BadSubmission as error:
        return None, error.findings
    # parsing large headers may take a second
    report = await run_in_threadpool(check_model, repository, choice)
    if report.prompt_format is None:
        return None, report.findings
    flags = {one.code: {"problem": one.problem, "fix": one.fix} for one in report.warnings}
    new = NewSubmission(
        repository.model, form.revision, repository.sha, form.suite, form.dtype, form.style, report.prompt_format.chat,
        report.prompt_format.n_shots, form.season, form.note, form.contact, report.n_parameters, report.n_bytes,
        report.kind, flags,
    )  # fmt: skip
    return new, report.findings


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
    return Finding(field, f"{error['msg'][:200]}.", "See /api for the fields.", "bad_field")


def check_fields(form: SubmissionForm, seasons: Collection[Season]) -> list[Finding]:
    """Return what is wrong with the fields themselves; `seasons` are the open ones."""
    found = []

    def say(field: str, problem: str, fix: str) -> None:
        found.append(Finding(field, problem, fix, f"bad_{field}"))

    if not is_model_id(form.model):
        say("model", "This is not a model id.", "Write organisation, slash, name, as on the hub.")
    if not is_revision(form.revision):
        say("revision", "This is not a revision.", "Give a branch, a tag or a commit; main is the usual branch.")
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
