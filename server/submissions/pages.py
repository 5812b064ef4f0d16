"""Show the queue, and each submission from its checks to its run."""

import datetime as dt
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from fathom.harness.db.audit import Entry, list_entries
from fathom.harness.db.write import utc_now
from fathom.harness.service.faults import Fault, fault_of
from fathom.server.submissions.api import Deed, SubmissionId, do, tail_of
from fathom.server.submissions.events import facts_of
from fathom.server.submissions.status import Place, get_place, read_queue
from fathom.server.submissions.store import CANCELLABLE
from fathom.server.web.actor import Actor, ActorOf
from fathom.server.web.forms import FormOf
from fathom.server.web.render import READ, SiteOf, page

router = APIRouter(include_in_schema=False)

_STEPS = ("validating", "queued", "leased", "downloading", "loading", "generating", "scoring", "finished")
STATE_WORDS = {
    "validating": "accepted, being planned", "queued": "waiting for a worker", "leased": "a worker has taken it",
    "downloading": "fetching the model", "loading": "loading the model", "generating": "answering",
    "scoring": "scoring", "finished": "finished", "failed": "failed", "cancelled": "cancelled",
    "superseded": "superseded by a later one",
}  # fmt: skip
_DEEDS = {
    "submission.created": "submitted", "submission.cancelled": "cancelled", "submission.retried": "queued again",
    "submission.failed": "failed", "submission.finished": "finished", "submission.withdrawn": "taken off the board",
    "upload": "sent and graded", "replay-asked": "replay asked for", "flag": "flagged",
}  # fmt: skip
_HISTORY = 30


@dataclass(frozen=True, slots=True)
class Step:
    """One state that a submission passes through, and whether it is behind, here or ahead."""

    words: str
    place: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was done to a submission."""

    at: dt.datetime
    words: str
    code: str


@router.api_route("/queue", methods=READ)
def show_queue(site: SiteOf) -> HTMLResponse:
    """Show what runs, what waits, what ended and who works."""
    now = utc_now()
    found = read_queue(site.db, now)
    return page(site, "queue", queue=found, now=now, words=STATE_WORDS, fault_of=fault_of)


@router.api_route("/submissions/{submission}", methods=READ)
def show_submission(site: SiteOf, actor: ActorOf, submission: SubmissionId) -> HTMLResponse:
    """Show one submission."""
    place = get_place(site.db, submission)
    one = place.submission
    history = list_entries(site.db, f"submission/{one.id}", _HISTORY)
    answer = page(
        site, "submission", place=place, one=one, now=utc_now(), words=STATE_WORDS, steps=_steps(one.state),
        actor=actor,
        fault=fault_of(one.error_code) if one.error_code else None, tail=tail_of(place), facts=facts_of(place),
        is_own=actor.owns(one.owner_id), deeds=_deeds_of(place, actor),
        history=[_event(entry) for entry in reversed(history) if entry.action in _DEEDS], advice=_advice(place),
    )  # fmt: skip
    answer.headers["Cache-Control"] = "private, no-cache"  # its owner sees more than others do
    return answer


@router.post("/submissions/{submission}/{deed}")
def take_deed(
    request: Request, site: SiteOf, actor: ActorOf, submission: SubmissionId, deed: Deed, _form: FormOf
) -> Response:
    """Cancel, try again or withdraw, from the page's buttons."""
    do(request, site, actor, submission, deed)
    return RedirectResponse(f"/submissions/{submission}", 303)


def _event(entry: Entry) -> Event:
    return Event(entry.at, _DEEDS[entry.action], str(entry.detail.get("code") or ""))


def _advice(place: Place) -> str:
    found = place.submission.flags.get("no_card")
    return f"{found.get('problem')} {found.get('fix')}" if isinstance(found, dict) else ""


def _steps(state: str) -> list[Step]:
    """Return the way of a submission; of one that left it, only what is not behind it for certain."""
    if state not in _STEPS:
        return [Step(STATE_WORDS["validating"], "behind"), Step(STATE_WORDS[state], "here")]
    here = _STEPS.index(state)
    places = ("behind" if at < here else "here" if at == here else "ahead" for at in range(len(_STEPS)))
    return [Step(STATE_WORDS[name], where) for name, where in zip(_STEPS, places, strict=True)]


def _deeds_of(place: Place, actor: Actor) -> list[tuple[str, str]]:
    """Return what this actor may do now: the deed's name, and what its button says."""
    one = place.submission
    if not actor.owns(one.owner_id) or not actor.may("submit"):
        return []
    if one.kind == "model" and one.state in CANCELLABLE:
        return [("cancel", "Cancel it")]
    if one.kind == "model" and one.state == "failed" and (actor.is_admin or not _fault(place).permanent):
        return [("retry", "Try it again")]
    if one.state == "finished" and one.run_id and one.hidden_at is None:
        return [("withdraw", "Take it off the board")]
    return []


def _fault(place: Place) -> Fault:
    return fault_of(place.submission.error_code or "")
