"""Take a model in to be run: as a form with all findings beside their fields, or as JSON."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from fathom.harness.errors import AlreadySubmitted, BadSubmission, Finding
from fathom.harness.service.seasons.store import Season, list_seasons
from fathom.server.submissions.api import SubmissionOut, problems, submission_out
from fathom.server.submissions.checks import Wish, lint
from fathom.server.submissions.hub import HubClient
from fathom.server.submissions.repository import is_model_id, is_revision
from fathom.server.submissions.status import get_place
from fathom.server.submissions.store import NewSubmission, create
from fathom.server.web.actor import Actor, ActorOf, require
from fathom.server.web.bodies import read_body
from fathom.server.web.forms import FormOf
from fathom.server.web.limits import spend
from fathom.server.web.render import READ, Site, SiteOf, page
from fathom.tasks.suites import suite_names

router = APIRouter(include_in_schema=False)


api = APIRouter(prefix="/api/v1")


_CHECKS = 60
"""Submissions of a user, right or wrong, that are checked in an hour."""


LONGEST_NOTE, LONGEST_CONTACT, _LONGEST = 1000, 200, 200


class SubmissionIn(BaseModel):
    """A model to be run by our workers."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str = Field(description="Id on the hub, as org/name.")
    revision: str = Field(default="main", description="Branch, tag or commit; the commit of now is what is run.")
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(default="auto", description="Precision.")
    style: Literal["", "direct", "cot", "choice"] = Field(default="", description="One style alone; empty: all.")
    chat_template: bool = Field(default=False, description="Ask through the model's chat template.")
    suite: str = Field(default="quick", description="What is asked; a season brings its own.")
    season: str = Field(default="", description="Name of a season that is open; empty: practice.")
    note: str = Field(default="", description=f"Shown with the submission; {LONGEST_NOTE} characters at most.")
    contact: str = Field(default="", description="Shown to you and to admins only.")


_BODY = {"required": True, "content": {"application/json": {"schema": SubmissionIn.model_json_schema()}}}


@router.api_route("/submit", methods=READ)
def show_form(site: SiteOf, actor: ActorOf, model: Annotated[str, Query(max_length=200)] = "") -> HTMLResponse:
    """Show the form."""
    return _form(site, actor, SubmissionForm(model=model), list_seasons(site.db, "open"))


@router.post("/submit")
async def take_form(request: Request, site: SiteOf, actor: ActorOf, sent: FormOf) -> Response:
    """Take the form in; what is wrong is said beside its fields, and what was written stays."""
    owner = require(actor, "submit")
    form = read_fields(sent)
    seasons = await run_in_threadpool(list_seasons, site.db, "open")
    try:
        submission = await _submit(request, actor, owner, form.in_season(seasons), seasons)
    except BadSubmission as error:
        return _form(site, actor, form, seasons, error.findings)
    except AlreadySubmitted as error:
        return _form(site, actor, form, seasons, existing=error.submission)
    return RedirectResponse(f"/submissions/{submission}", 303)


@api.post(
    "/submissions", status_code=201, openapi_extra={"requestBody": _BODY},
    responses=problems(401, 403, 408, 409, 413, 422, 429, 503),
)  # fmt: skip
async def submit(request: Request, response: Response, site: SiteOf, actor: ActorOf) -> SubmissionOut:
    """Submit a model of the hub: it is checked, queued, and run by a worker at the commit of now."""
    owner = require(actor, "submit")
    form = read_json(await read_body(request))
    seasons = await run_in_threadpool(list_seasons, site.db, "open")
    submission = await _submit(request, actor, owner, form.in_season(seasons), seasons)
    response.headers["Location"] = f"/api/v1/submissions/{submission}"
    return submission_out(await run_in_threadpool(get_place, site.db, submission), actor)


@dataclass(frozen=True, slots=True)
class SubmissionForm:
    """What somebody wrote into the form, right or wrong."""

    model: str = ""
    revision: str = "main"
    dtype: str = "auto"
    style: str = ""
    chat_template: bool = False
    suite: str = "quick"
    season: str = ""
    note: str = ""
    contact: str = ""

    def in_season(self, seasons: Collection[Season]) -> "SubmissionForm":
        """Return the same with the suite that its season brings."""
        suite = next((season.suite for season in seasons if season.id == self.season), self.suite)
        return replace(self, suite=suite)


async def _submit(
    request: Request, actor: Actor, owner: int, form: SubmissionForm, seasons: Sequence[Season]
) -> str:  # fmt: skip
    """Check a submission and store it; return its id.

    Raises:
        BadSubmission: all that is wrong with it.
        AlreadySubmitted, TooMany, Busy: the same stands here; the quota is used up; too much is going on.
    """
    service, hub, site = request.app.state.service, request.app.state.hub, request.app.state.site
    if not actor.is_admin:
        await run_in_threadpool(spend, site.db, f"check:{owner}", _CHECKS, 3600)
    wish = Wish(form.dtype, form.chat_template, service.max_bytes)
    findings = check(form, seasons)
    new, found = await _look(hub, form, wish, str(owner))
    if new is None or findings or found:
        raise BadSubmission([*findings, *found])
    quota = None if actor.is_admin else service.daily_submissions
    submission = await run_in_threadpool(create, site.db, new, owner, quota)
    request.app.state.housekeeper.wake()
    return submission


async def _look(
    hub: HubClient, form: SubmissionForm, wish: Wish, who: str
) -> tuple[NewSubmission | None, Sequence[Finding]]:  # fmt: skip
    """Ask the hub about the model, if its name can be one; return the submission, and what is wrong with the model."""
    if not is_model_id(form.model) or not is_revision(form.revision):
        return None, ()
    try:
        repository = await hub.look(form.model, form.revision, who)
    except BadSubmission as error:
        return None, error.findings
    # minutes of headers cannot be: their bytes are bounded, but parsing them may take a second
    report = await run_in_threadpool(lint, repository, wish)
    flags = {one.code: {"problem": one.problem, "fix": one.fix} for one in report.warnings}
    new = NewSubmission(
        repository.model, form.revision, repository.sha, form.suite, form.dtype, form.style, form.chat_template,
        form.season, form.note, form.contact, report.n_parameters, report.n_bytes, report.kind, flags,
    )  # fmt: skip
    return new, report.findings


def _form(
    site: Site,
    actor: Actor,
    form: SubmissionForm,
    seasons: Sequence[Season],
    findings: Sequence[Finding] = (),
    existing: str = "",
) -> HTMLResponse:
    answer = page(
        site, "submit", 409 if existing else 422 if findings else 200, actor=actor, form=shown(form), existing=existing,
        findings=findings, by_field=_by_field(findings), seasons=seasons, suites=suite_names(), dtypes=DTYPES,
        styles=STYLES, limits={"note": LONGEST_NOTE, "contact": LONGEST_CONTACT},
    )  # fmt: skip
    answer.headers["Cache-Control"] = "private, no-cache"
    return answer


def _by_field(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for one in findings:
        found.setdefault(one.field, []).append(one)
    return found


DTYPES = ("auto", "bfloat16", "float16", "float32")


STYLES = ("direct", "cot", "choice")


def read_fields(sent: Mapping[str, str]) -> SubmissionForm:
    """Read the fields of a browser's form; blanks around them do not count."""
    texts = {one.name: sent[one.name].strip() for one in fields(SubmissionForm) if one.name in sent}
    is_templated = texts.pop("chat_template", "") not in ("", "false", "0")
    return SubmissionForm(**{"revision": "main", **texts, "chat_template": is_templated})  # type: ignore[arg-type]  # texts but one


def read_json(body: bytes) -> SubmissionForm:
    """Read a body of the API.

    Raises:
        BadSubmission: it is not what `SubmissionIn` says, with a finding for each field.
    """
    try:
        return SubmissionForm(**SubmissionIn.model_validate_json(body).model_dump())
    except ValidationError as error:
        raise BadSubmission([_finding(one) for one in error.errors(include_url=False)]) from error


def _finding(error: Mapping[str, Any]) -> Finding:  # pydantic's own shape
    field = str(error["loc"][0])[:60] if error["loc"] else "body"
    return Finding(field, f"{error['msg'][:200]}.", "See /api for what may be sent.", "bad_field")


def check(form: SubmissionForm, seasons: Collection[Season]) -> list[Finding]:
    """Return what is wrong with the fields themselves; `seasons` are those that are open."""
    found = []

    def say(field: str, problem: str, fix: str) -> None:
        found.append(Finding(field, problem, fix, f"bad_{field}"))

    if not is_model_id(form.model):
        say("model", "This is no model's id.", "Write it as on the hub: organisation, slash, name.")
    if not is_revision(form.revision):
        say("revision", "This cannot be a revision.", "Give a branch, a tag or a commit; main is the usual one.")
    for field, value, known in (
        ("dtype", form.dtype, DTYPES), ("style", form.style, ("", *STYLES)), ("suite", form.suite, suite_names()),
    ):  # fmt: skip
        if value not in known:
            say(field, "There is no such choice.", f"Choose one of: {', '.join(one or 'all' for one in known)}.")
    if form.season and form.season not in {season.id for season in seasons}:
        say("season", "No season of that name is open.", "Choose one that is, or practice.")
    for field, text, longest in (("note", form.note, LONGEST_NOTE), ("contact", form.contact, LONGEST_CONTACT)):
        if len(text) > longest:
            say(field, f"This has {len(text):,} characters.", f"Shorten it to {longest:,}.")
    return found


def shown(form: SubmissionForm) -> dict[str, Any]:
    """Return the fields to be written into the form again, none longer than a form sends, nothing hidden in them."""
    fields_now = asdict(form)
    for name, value in fields_now.items():
        if isinstance(value, str):
            plain = "".join(char for char in value if char.isprintable() or char in "\n\t")
            fields_now[name] = plain[: LONGEST_NOTE if name == "note" else _LONGEST]
    return fields_now
