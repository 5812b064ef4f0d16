"""The JSON API of submissions: submit a model, read the status, cancel, retry, withdraw."""

import datetime as dt
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from fathom.harness.errors import NotSignedIn
from fathom.harness.service.faults import fault_of
from fathom.harness.service.seasons.store import list_seasons
from fathom.server.submissions import store as submissions
from fathom.server.submissions.form import SubmissionIn, read_submission_json, submit_model
from fathom.server.submissions.status import SubmissionStatus, get_status, list_submissions
from fathom.server.web.actor import Actor, ActorOf, require, require_owner
from fathom.server.web.addresses import MAX_ID, Open, SubmissionId
from fathom.server.web.bodies import read_body
from fathom.server.web.problems import ApiModel, ApiProblem
from fathom.server.web.render import Site, SiteOf

router = APIRouter(prefix="/api/v1")

_State = Literal[
    "validating", "queued", "leased", "downloading", "loading", "generating", "scoring", "finished", "failed",
    "cancelled", "superseded",
]  # fmt: skip
Action = Literal["cancel", "retry", "withdraw"]
_ANSWERS = {
    401: "Not signed in, or the token is not known.",
    403: "The token lacks a scope, or the submission belongs to somebody else.",
    404: "There is no such submission.", 408: "The body came too slowly.",
    409: "The same was submitted before, or the submission is in the wrong state.",
    413: "The body is too large.",
    422: "The request is not valid; `findings` name everything that is wrong with a submission.",
    429: "Too many submissions within 24 hours, or too many requests at once.", 503: "The server is busy; try again.",
}  # fmt: skip


class FindingOut(ApiModel):
    """One thing that is wrong, and the fix."""

    field: str
    problem: str
    fix: str
    code: str


class SubmissionProblem(ApiProblem):
    """Why a submission is refused."""

    findings: list[FindingOut] = Field(default=[], description="Everything that is wrong, by field.")
    submission: str | None = Field(default=None, description="The earlier submission of the same model.")


def _problems(*codes: int) -> dict[int | str, dict[str, Any]]:  # OpenAPI's JSON
    """Describe refusals for OpenAPI."""
    content = {"application/problem+json": {"schema": SubmissionProblem.model_json_schema()}}
    return {code: {"description": _ANSWERS[code], "content": content} for code in codes}


class ProgressOut(ApiModel):
    """Progress of the jobs."""

    done: int = Field(description="Items that are stored.")
    total: int
    n_jobs: int
    n_jobs_done: int
    tokens_per_second: float | None
    phase: str = Field(description="Phase of the most advanced worker; empty while no worker has a job of it.")
    workers: list[str]
    heartbeat_at: dt.datetime | None


class FaultOut(ApiModel):
    """Why it failed."""

    code: str
    permanent: bool = Field(description="Whether a retry would fail again.")
    words: str
    fix: str
    tail: str | None = Field(description="End of the log; null in a season that is not revealed.")


class SubmissionOut(ApiModel):
    """A submission."""

    id: str
    kind: str = Field(description="model: run by our workers; upload: a run made elsewhere.")
    state: str
    position: int | None = Field(description="Position among the waiting ones, from 1; owners take turns.")
    model: str
    revision: str
    sha: str
    dtype: str
    style: str
    chat_template: bool
    suite: str
    season: str
    tier: int
    note: str
    contact: str | None = Field(description="For its owner and admins only.")
    owner: str
    n_parameters: int | None
    n_bytes: int | None
    flags: list[str]
    progress: ProgressOut
    error: FaultOut | None
    run: str | None
    created_at: dt.datetime
    changed_at: dt.datetime
    finished_at: dt.datetime | None
    hidden_at: dt.datetime | None
    page: str = Field(description="Address of its page.")


class SubmissionList(ApiModel):
    """Submissions, newest first."""

    total: int
    submissions: list[SubmissionOut]


_SAME = (
    "id", "kind", "state", "model", "revision", "sha", "dtype", "style", "chat_template", "suite", "season", "tier",
    "note", "owner", "n_parameters", "n_bytes", "created_at", "changed_at", "finished_at", "hidden_at",
)  # fmt: skip


def _submission_out(status: SubmissionStatus, actor: Actor) -> SubmissionOut:
    """Return a submission as this actor may see it."""
    one, progress = status.submission, status.progress
    same = {name: getattr(one, name) for name in _SAME}
    return SubmissionOut(
        **same, position=status.position, contact=one.contact if actor.owns(one.owner_id) else None,
        flags=sorted(one.flags), run=one.run_id, page=f"/submissions/{one.id}", error=_fault(status),
        progress=ProgressOut(
            done=progress.done, total=progress.total, n_jobs=progress.n_jobs, n_jobs_done=progress.n_jobs_done,
            tokens_per_second=progress.tokens_per_second, phase=progress.phase, workers=list(progress.workers),
            heartbeat_at=progress.heartbeat_at,
        ),
    )  # fmt: skip


def _fault(status: SubmissionStatus) -> FaultOut | None:
    if status.submission.error_code is None:
        return None
    fault = fault_of(status.submission.error_code)
    return FaultOut(
        code=fault.code, permanent=fault.permanent, words=fault.words, fix=fault.fix, tail=visible_log(status)
    )


def visible_log(status: SubmissionStatus) -> str | None:
    """Return the end of the log; None while its season is sealed, since a log may quote a question."""
    return None if status.submission.sealed else status.submission.error_tail


_BODY = {"required": True, "content": {"application/json": {"schema": SubmissionIn.model_json_schema()}}}


@router.post(
    "/submissions", status_code=201, openapi_extra={"requestBody": _BODY},
    responses=_problems(401, 403, 408, 409, 413, 422, 429, 503),
)  # fmt: skip
async def submit(request: Request, response: Response, site: SiteOf, actor: ActorOf) -> SubmissionOut:
    """Submit a model of the hub: it is checked, queued, and run by a worker at the present commit."""
    require(actor, "submit")
    form = read_submission_json(await read_body(request))
    seasons = await run_in_threadpool(list_seasons, site.db, "open")
    submission = await submit_model(request, actor, form.with_suite_of_season(seasons), seasons)
    response.headers["Location"] = f"/api/v1/submissions/{submission}"
    return _submission_out(await run_in_threadpool(get_status, site.db, submission), actor)


@router.get("/submissions", responses=_problems(401, 422))
def send_submissions(
    site: SiteOf,
    actor: ActorOf,
    state: Annotated[_State | None, Open, Query(description="Only submissions in this state.")] = None,
    owner: Annotated[Literal["me"] | None, Open, Query(description="me: only your own submissions.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Most submissions in an answer.")] = 50,
    offset: Annotated[int, Query(ge=0, le=MAX_ID, description="Submissions to skip.")] = 0,
) -> SubmissionList:
    """Return submissions, newest first."""
    if owner == "me" and actor.user_id is None:
        raise NotSignedIn("sign in to list your own submissions, or send an API token")
    whose = actor.user_id if owner == "me" else None
    found, total = list_submissions(site.db, state, whose, limit, offset)
    return SubmissionList(total=total, submissions=[_submission_out(one, actor) for one in found])


@router.get("/submissions/{submission}", responses=_problems(404, 422))
def send_submission(site: SiteOf, actor: ActorOf, submission: SubmissionId) -> SubmissionOut:
    """Return a submission with its progress."""
    return _submission_out(get_status(site.db, submission), actor)


@router.delete("/submissions/{submission}", responses=_problems(401, 403, 404, 409, 422))
def cancel_submission(request: Request, site: SiteOf, actor: ActorOf, submission: SubmissionId) -> SubmissionOut:
    """Cancel a submission that has not ended."""
    return _after(request, site, actor, submission, "cancel")


@router.post("/submissions/{submission}/retry", responses=_problems(401, 403, 404, 409, 422))
def retry_submission(request: Request, site: SiteOf, actor: ActorOf, submission: SubmissionId) -> SubmissionOut:
    """Queue the missing items of a failed submission again."""
    return _after(request, site, actor, submission, "retry")


@router.post("/submissions/{submission}/withdraw", responses=_problems(401, 403, 404, 409, 422))
def withdraw_submission(request: Request, site: SiteOf, actor: ActorOf, submission: SubmissionId) -> SubmissionOut:
    """Take a finished submission off the board; its page stays."""
    return _after(request, site, actor, submission, "withdraw")


def _after(request: Request, site: Site, actor: Actor, submission: str, action: Action) -> SubmissionOut:
    change_submission(request, site, actor, submission, action)
    return _submission_out(get_status(site.db, submission), actor)


def change_submission(request: Request, site: Site, actor: Actor, submission: str, action: Action) -> None:
    """Cancel, retry or withdraw a submission for its owner or an admin.

    Raises:
        NotSignedIn, NotAllowed: the actor may not do this.
        UnknownSubmission: there is no such submission.
        Conflict: the submission is in the wrong state.
    """
    require(actor, "submit")
    require_owner(actor, get_status(site.db, submission).submission.owner_id)
    if action == "retry":
        submissions.retry(site.db, submission, actor.label, actor.is_admin)
    elif action == "cancel":
        submissions.cancel(site.db, submission, actor.label)
    else:
        submissions.withdraw(site.db, submission, actor.label)
    request.app.state.background.wake()
