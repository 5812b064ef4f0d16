"""Answer programs about submissions: where they stand, and what their owners do with them."""

import datetime as dt
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import Field

from fathom.harness.errors import NotSignedIn
from fathom.harness.service.faults import fault_of
from fathom.server.submissions import store as submissions
from fathom.server.submissions.status import Place, get_place, list_submissions
from fathom.server.web.actor import Actor, ActorOf, require, require_owner
from fathom.server.web.addresses import LARGEST, Open
from fathom.server.web.problems import Frozen, Problem
from fathom.server.web.render import Site, SiteOf

api = APIRouter(prefix="/api/v1")

SubmissionId = Annotated[str, Path(pattern="^[0-9a-f]{1,32}$", description="A submission's id.")]
State = Literal[
    "validating", "queued", "leased", "downloading", "loading", "generating", "scoring", "finished", "failed",
    "cancelled", "superseded",
]  # fmt: skip
Deed = Literal["cancel", "retry", "withdraw"]
_ANSWERS = {
    401: "Nobody has signed in, or the token is not known.", 403: "The token lacks a scope, or it is somebody else's.",
    404: "There is none such.", 408: "The body came too slowly.",
    409: "The same stands here, or the submission is in another state than this needs.",
    413: "More bytes than are taken.",
    422: "The request asks for something that cannot be; a submission's `findings` say all that is wrong with it.",
    429: "Too many submissions within 24 hours, or too much at once.", 503: "Too much is going on; try again.",
}  # fmt: skip


class FindingOut(Frozen):
    """One thing that is wrong, and the fix."""

    field: str
    problem: str
    fix: str
    code: str


class SubmissionProblem(Problem):
    """What keeps a submission from being taken."""

    findings: list[FindingOut] = Field(default=[], description="All of it, by field.")
    submission: str | None = Field(default=None, description="The one that stands here already.")


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:  # OpenAPI's JSON
    """Describe refusals for OpenAPI."""
    content = {"application/problem+json": {"schema": SubmissionProblem.model_json_schema()}}
    return {code: {"description": _ANSWERS[code], "content": content} for code in codes}


class ProgressOut(Frozen):
    """How far the workers are."""

    done: int = Field(description="Items that are stored.")
    total: int
    n_jobs: int
    n_jobs_done: int
    tokens_per_second: float | None
    phase: str = Field(description="That of the worker which is furthest on; empty where none has any of it.")
    workers: list[str]
    heartbeat_at: dt.datetime | None


class FaultOut(Frozen):
    """Why it failed."""

    code: str
    permanent: bool = Field(description="Whether trying again would fail again.")
    words: str
    fix: str
    tail: str | None = Field(description="End of the log; none of a season that is not revealed.")


class SubmissionOut(Frozen):
    """A submission."""

    id: str
    kind: str = Field(description="model: run by our workers; upload: a run made elsewhere.")
    state: str
    position: int | None = Field(description="Place among those that wait, from 1; owners take turns.")
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
    contact: str | None = Field(description="For its owner and admins alone.")
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
    page: str = Field(description="Where people read about it.")


class SubmissionList(Frozen):
    """Submissions, newest first."""

    total: int
    submissions: list[SubmissionOut]


_SAME = (
    "id", "kind", "state", "model", "revision", "sha", "dtype", "style", "chat_template", "suite", "season", "tier",
    "note", "owner", "n_parameters", "n_bytes", "created_at", "changed_at", "finished_at", "hidden_at",
)  # fmt: skip


def submission_out(place: Place, actor: Actor) -> SubmissionOut:
    """Write a submission as this actor may see it."""
    one, progress = place.submission, place.progress
    same = {name: getattr(one, name) for name in _SAME}
    return SubmissionOut(
        **same, position=place.position, contact=one.contact if actor.owns(one.owner_id) else None,
        flags=sorted(one.flags), run=one.run_id, page=f"/submissions/{one.id}", error=_fault(place),
        progress=ProgressOut(
            done=progress.done, total=progress.total, n_jobs=progress.n_jobs, n_jobs_done=progress.n_jobs_done,
            tokens_per_second=progress.tokens_per_second, phase=progress.phase, workers=list(progress.workers),
            heartbeat_at=progress.heartbeat_at,
        ),
    )  # fmt: skip


def _fault(place: Place) -> FaultOut | None:
    if place.submission.error_code is None:
        return None
    fault = fault_of(place.submission.error_code)
    return FaultOut(code=fault.code, permanent=fault.permanent, words=fault.words, fix=fault.fix, tail=tail_of(place))


def tail_of(place: Place) -> str | None:
    """Return the end of the log; of a season that is not revealed to nobody, since it may quote a question."""
    return None if place.submission.sealed else place.submission.error_tail


@api.get("/submissions", responses=problems(401, 422))
def read_submissions(
    site: SiteOf,
    actor: ActorOf,
    state: Annotated[State | None, Open, Query(description="Only those in this state.")] = None,
    owner: Annotated[Literal["me"] | None, Open, Query(description="me: only your own.")] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Things an answer holds at most.")] = 50,
    offset: Annotated[int, Query(ge=0, le=LARGEST, description="Things to pass over.")] = 0,
) -> SubmissionList:
    """Return submissions, newest first."""
    if owner == "me" and actor.user_id is None:
        raise NotSignedIn("sign in to list your own submissions, or send an API token")
    whose = actor.user_id if owner == "me" else None
    found, total = list_submissions(site.db, state, whose, limit, offset)
    return SubmissionList(total=total, submissions=[submission_out(one, actor) for one in found])


@api.get("/submissions/{submission}", responses=problems(404, 422))
def read_submission(site: SiteOf, actor: ActorOf, submission: SubmissionId) -> SubmissionOut:
    """Return a submission, and how far its workers are."""
    return submission_out(get_place(site.db, submission), actor)


@api.delete("/submissions/{submission}", responses=problems(401, 403, 404, 409, 422))
def cancel_submission(request: Request, site: SiteOf, actor: ActorOf, submission: SubmissionId) -> SubmissionOut:
    """Cancel a submission that has not ended."""
    return _done(request, site, actor, submission, "cancel")


@api.post("/submissions/{submission}/retry", responses=problems(401, 403, 404, 409, 422))
def retry_submission(request: Request, site: SiteOf, actor: ActorOf, submission: SubmissionId) -> SubmissionOut:
    """Queue what is missing of a failed submission again."""
    return _done(request, site, actor, submission, "retry")


@api.post("/submissions/{submission}/withdraw", responses=problems(401, 403, 404, 409, 422))
def withdraw_submission(request: Request, site: SiteOf, actor: ActorOf, submission: SubmissionId) -> SubmissionOut:
    """Take a finished submission off the board; its page stays."""
    return _done(request, site, actor, submission, "withdraw")


def _done(request: Request, site: Site, actor: Actor, submission: str, deed: Deed) -> SubmissionOut:
    do(request, site, actor, submission, deed)
    return submission_out(get_place(site.db, submission), actor)


def do(request: Request, site: Site, actor: Actor, submission: str, deed: Deed) -> None:
    """Do what an owner or an admin asks for.

    Raises:
        NotSignedIn, NotAllowed, UnknownSubmission, Conflict: see harness.db.submissions.
    """
    require(actor, "submit")
    require_owner(actor, get_place(site.db, submission).submission.owner_id)
    if deed == "retry":
        submissions.retry(site.db, submission, actor.label, actor.is_admin)
    elif deed == "cancel":
        submissions.cancel(site.db, submission, actor.label)
    else:
        submissions.withdraw(site.db, submission, actor.label)
    request.app.state.housekeeper.wake()
