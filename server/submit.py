"""Take a model in to be run: as a form with all findings beside their fields, or as JSON."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.concurrency import run_in_threadpool

from harness.db.limits import spend
from harness.db.queue import get_place
from harness.db.seasons import Season, list_seasons
from harness.db.submissions import NewSubmission, create
from harness.errors import AlreadySubmitted, BadSubmission, Finding
from harness.hub import HubClient
from harness.lint import Wish, lint
from harness.repository import is_model_id, is_revision
from harness.suite import suite_names
from server.bodies import read_body
from server.forms import FormOf
from server.identity import Actor, ActorOf, require
from server.render import READ, Site, SiteOf, page
from server.submission_form import (
    DTYPES,
    LONGEST_CONTACT,
    LONGEST_NOTE,
    STYLES,
    SubmissionForm,
    SubmissionIn,
    check,
    read_fields,
    read_json,
    shown,
)
from server.submissions import SubmissionOut, problems, submission_out

router = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api/v1")

_CHECKS = 60
"""Submissions of a user, right or wrong, that are checked in an hour."""
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
