"""Pages of submissions: the form, the queue, and one page for each submission."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from fathom.harness.db.audit import Entry, list_entries
from fathom.harness.db.leaderboard.places import place_of
from fathom.harness.db.write import utc_now
from fathom.harness.engines.model import reference_models
from fathom.harness.errors import AlreadySubmitted, BadSubmission, Finding
from fathom.harness.service.faults import Fault, fault_of
from fathom.harness.service.seasons.store import Season, list_seasons
from fathom.server.jobs.workers import advise, read_workers
from fathom.server.submissions.api import Action, change_submission, visible_log
from fathom.server.submissions.events import live_values
from fathom.server.submissions.folders import may_name_folders
from fathom.server.submissions.form import (
    MAX_CONTACT,
    MAX_NOTE,
    MODEL_DTYPES,
    MODEL_STYLES,
    SubmissionForm,
    read_fields,
    refill_values,
    submit_model,
)
from fathom.server.submissions.preview import preview
from fathom.server.submissions.status import SubmissionStatus, get_status, read_queue
from fathom.server.submissions.store import CANCELLABLE
from fathom.server.web.actor import Actor, ActorOf, require
from fathom.server.web.addresses import SubmissionId, board_link
from fathom.server.web.forms import FormOf
from fathom.server.web.rate_limits import count_use
from fathom.server.web.render import READ, SUBMISSION_STATE_WORDS, Site, SiteOf, page
from fathom.tasks.suites import suite_names

router = APIRouter(include_in_schema=False)

_STEPS = ("validating", "queued", "leased", "downloading", "loading", "generating", "scoring", "finished")
_EVENT_WORDS = {
    "submission.created": "submitted", "submission.cancelled": "cancelled", "submission.retried": "queued again",
    "submission.failed": "failed", "submission.finished": "finished", "submission.withdrawn": "taken off the board",
    "upload": "sent and graded", "replay-asked": "replay requested", "flag": "flagged",
}  # fmt: skip
_HISTORY = 30


@dataclass(frozen=True, slots=True)
class _Step:
    """One state on the way of a submission; `position` is behind, here or ahead."""

    words: str
    position: str


@dataclass(frozen=True, slots=True)
class _Event:
    """Something that happened to a submission."""

    at: dt.datetime
    words: str
    code: str


@dataclass(frozen=True, slots=True)
class _Sent:
    """The form as somebody filled it in, and why it was not taken."""

    form: SubmissionForm
    findings: Sequence[Finding] = ()
    existing: str = ""
    """Id of the earlier submission of the same."""


@router.api_route("/submit", methods=READ)
def show_submit_form(
    request: Request, site: SiteOf, actor: ActorOf, model: Annotated[str, Query(max_length=200)] = ""
) -> HTMLResponse:
    """Show the form that submits a model."""
    return _submit_form(request, actor, _Sent(SubmissionForm(model=model)), list_seasons(site.db, "open"))


@router.post("/submit")
async def take_submit_form(request: Request, site: SiteOf, actor: ActorOf, sent: FormOf) -> Response:
    """Submit a model from the form; problems are shown beside their fields, with what was written."""
    require(actor, "submit")
    form = read_fields(sent)
    seasons = await run_in_threadpool(list_seasons, site.db, "open")
    try:
        submission = await submit_model(request, actor, form.with_suite_of_season(seasons), seasons)
    except BadSubmission as error:
        answer = _Sent(form, error.findings)
    except AlreadySubmitted as error:
        answer = _Sent(form, existing=error.submission)
    else:
        return RedirectResponse(f"/submissions/{submission}", 303)
    return await run_in_threadpool(_submit_form, request, actor, answer, seasons)


def _submit_form(request: Request, actor: Actor, sent: _Sent, seasons: Sequence[Season]) -> HTMLResponse:
    site: Site = request.app.state.site
    by_field: dict[str, list[Finding]] = {}
    for one in sent.findings:
        by_field.setdefault(one.field, []).append(one)
    workers = read_workers(site.db)
    answer = page(
        site, "submit", 409 if sent.existing else 422 if sent.findings else 200, actor=actor,
        form=refill_values(sent.form), existing=sent.existing, findings=sent.findings, by_field=by_field,
        opened=bool(by_field.keys() - {"model"}), seasons=seasons, suites=suite_names(), dtypes=MODEL_DTYPES,
        styles=MODEL_STYLES, limits={"note": MAX_NOTE, "contact": MAX_CONTACT}, references=reference_models(),
        folders=may_name_folders(request.scope, request.app.state.service), advice=advise(request, workers),
        there=workers,
    )  # fmt: skip
    answer.headers["Cache-Control"] = "private, no-cache"
    return answer


class CheckQuery(BaseModel):
    """The fields of the form that decide what a submission would do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Annotated[str, Field(max_length=1000)] = ""
    revision: Annotated[str, Field(max_length=200)] = "main"
    dtype: Annotated[str, Field(max_length=40)] = "auto"
    style: Annotated[str, Field(max_length=40)] = ""
    chat_template: Annotated[str, Field(max_length=10)] = ""
    suite: Annotated[str, Field(max_length=64)] = "quick"
    season: Annotated[str, Field(max_length=64)] = ""


@router.api_route("/submit/check", methods=READ)
async def check_submission(
    request: Request, site: SiteOf, actor: ActorOf, query: Annotated[CheckQuery, Query()]
) -> HTMLResponse:
    """Show a part of a page that says what a submission would do, for who may submit."""
    owner = require(actor, "submit")
    if not actor.is_admin:
        await run_in_threadpool(count_use, site.db, f"preview:{owner}", _PREVIEWS_AN_HOUR, 3600)
    form = read_fields(query.model_dump())
    seasons = await run_in_threadpool(list_seasons, site.db, "open")
    shown = await preview(request, form, seasons, f"preview/{owner}")
    return page(site, "preview", actor=actor, preview=shown, form=form)


_PREVIEWS_AN_HOUR = 300
"""Models that are read for one user while the form is filled in."""


@router.api_route("/queue", methods=READ)
def show_queue(request: Request, site: SiteOf) -> HTMLResponse:
    """Show running, waiting and ended submissions, and the workers."""
    now = utc_now()
    found = read_queue(site.db, now)
    advice = advise(request, found.workers)
    return page(site, "queue", queue=found, now=now, fault_of=fault_of, advice=advice)


@router.api_route("/submissions/{submission}", methods=READ)
def show_submission(request: Request, site: SiteOf, actor: ActorOf, submission: SubmissionId) -> HTMLResponse:
    """Show one submission."""
    status = get_status(site.db, submission)
    one = status.submission
    history = list_entries(site.db, f"submission/{one.id}", _HISTORY)
    answer = page(
        site, "submission", current=status, one=one, now=utc_now(), steps=_steps(one.state),
        actor=actor,
        fault=fault_of(one.error_code) if one.error_code else None, log=visible_log(status),
        live_values=live_values(status), place=_board_link(site, status),
        is_own=actor.owns(one.owner_id), actions=_actions(status, actor),
        advice_on_workers=None if one.is_over else advise(request, read_workers(site.db), one.engine),
        history=[_event(entry) for entry in reversed(history) if entry.action in _EVENT_WORDS], advice=_advice(status),
    )  # fmt: skip
    answer.headers["Cache-Control"] = "private, no-cache"  # the owner sees more than others
    return answer


@router.post("/submissions/{submission}/{action}")
def take_action(
    request: Request, site: SiteOf, actor: ActorOf, submission: SubmissionId, action: Action, _form: FormOf
) -> Response:
    """Cancel, retry or withdraw, from the page's buttons."""
    change_submission(request, site, actor, submission, action)
    return RedirectResponse(f"/submissions/{submission}", 303)


def _board_link(site: Site, status: SubmissionStatus) -> str | None:
    one = status.submission
    place = place_of(site.db, one.run_id) if one.state == "finished" and one.run_id else None
    return None if place is None else board_link(place)


def _event(entry: Entry) -> _Event:
    return _Event(entry.at, _EVENT_WORDS[entry.action], str(entry.detail.get("code") or ""))


def _advice(status: SubmissionStatus) -> str:
    found = status.submission.flags.get("no_card")
    return f"{found.get('problem')} {found.get('fix')}" if isinstance(found, dict) else ""


def _steps(state: str) -> list[_Step]:
    """Return the states of a submission in order; for a failed or cancelled one only the first and the last."""
    if state not in _STEPS:
        return [_Step(SUBMISSION_STATE_WORDS["validating"], "behind"), _Step(SUBMISSION_STATE_WORDS[state], "here")]
    here = _STEPS.index(state)
    positions = ("behind" if at < here else "here" if at == here else "ahead" for at in range(len(_STEPS)))
    return [_Step(SUBMISSION_STATE_WORDS[name], where) for name, where in zip(_STEPS, positions, strict=True)]


def _actions(status: SubmissionStatus, actor: Actor) -> list[tuple[str, str]]:
    """Return what this actor may do now: the action, and the words on its button."""
    one = status.submission
    if not actor.owns(one.owner_id) or not actor.may("submit"):
        return []
    if one.kind == "model" and one.state in CANCELLABLE:
        return [("cancel", "Cancel")]
    if one.kind == "model" and one.state == "failed" and (actor.is_admin or not _fault(status).permanent):
        return [("retry", "Retry")]
    if one.state == "finished" and one.run_id and one.hidden_at is None:
        return [("withdraw", "Take it off the board")]
    return []


def _fault(status: SubmissionStatus) -> Fault:
    return fault_of(status.submission.error_code or "")
