"""The JSON API of uploads: send results made elsewhere, and request a replay of them."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from fathom.server.uploads.checks import Sender
from fathom.server.uploads.receiver import UploadReceipt, UploadReceiver
from fathom.server.uploads.replays import get_upload, request_replay
from fathom.server.uploads.unpacker import UPLOAD_LIMITS
from fathom.server.web.actor import Actor, ActorOf, require, require_owner
from fathom.server.web.addresses import SubmissionId
from fathom.server.web.bodies import BodyReceiver, UploadSlots, check_length
from fathom.server.web.problems import ApiModel, ApiProblem
from fathom.server.web.rate_limits import count_use
from fathom.server.web.render import Site, SiteOf

router = APIRouter(prefix="/api/v1")

_FORM_BYTES = 16 << 10
"""Bytes of a form beside its file."""
_BODY = {
    "required": True,
    "description": "A file as `fathom submit --out FILE` writes it: JSON lines, plain or gzip.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}
_ANSWERS = {
    401: "Not signed in, or the token is not known.", 403: "The token lacks the scope `submit`.",
    404: "There are no such results.", 408: "The body came too slowly.", 409: "The same results are stored already.",
    413: "The body is too large.", 422: "The results are refused; `detail` says why.",
    429: "Too many uploads; wait.", 503: "Too many uploads at this moment; try again.",
}  # fmt: skip


def _problems(*codes: int) -> dict[int | str, dict[str, Any]]:  # OpenAPI's JSON
    content = {"application/problem+json": {"schema": ApiProblem.model_json_schema()}}
    return {code: {"description": _ANSWERS[code], "content": content} for code in codes}


class ResultOut(ApiModel):
    """What was stored of an upload: each item was generated and graded here."""

    submission: str
    run: str
    tier: int = Field(description="1: sent by a user, not replayed yet.")
    n_items: int
    n_right: int
    page: str = Field(description="Address of its page.")


@router.post(
    "/results", status_code=201, openapi_extra={"requestBody": _BODY},
    responses=_problems(401, 403, 408, 409, 413, 422, 429, 503),
)  # fmt: skip
async def send_results(request: Request, site: SiteOf, actor: ActorOf) -> ResultOut:
    """Send a run made elsewhere. Completions are graded here; scores in the file are never used."""
    sender = sender_of(request, actor)
    stored = await receive_upload(request, sender, UploadReceiver(site.db, sender))
    return ResultOut(
        submission=stored.submission, run=stored.run, tier=1, n_items=stored.n_items, n_right=stored.n_right,
        page=f"/submit/results/{stored.submission}",
    )  # fmt: skip


@router.post("/submissions/{submission}/replay", status_code=202, responses=_problems(401, 403, 404, 409, 422))
def ask_for_replay(request: Request, site: SiteOf, actor: ActorOf, submission: SubmissionId) -> Response:
    """Request a replay: a worker answers random items again, and if it agrees, the run rises to tier 2."""
    replay_upload(request, site, actor, submission)
    return Response(status_code=202)


def sender_of(request: Request, actor: Actor) -> Sender:
    """Return the sender of results; raises as `require` does."""
    service = request.app.state.service
    return Sender(require(actor, "submit"), actor.label, service.oidc is None, service.secret_key)


async def receive_upload(request: Request, sender: Sender, receiver: BodyReceiver[UploadReceipt]) -> UploadReceipt:
    """Receive a request's body as an upload.

    Raises:
        TooLarge, TooMany, Busy, TooSlow: a limit is exceeded.
        BadInput, Conflict: the receiver refuses the results.
    """
    slots: UploadSlots = request.app.state.uploads
    check_length(request, UPLOAD_LIMITS.packed + _FORM_BYTES)
    if not sender.local:
        db = request.app.state.site.db
        await slots.in_thread(partial(count_use, db, f"upload:{sender.owner_id}", slots.hourly, 3600))
    with slots.enter(sender.owner_id):
        stored = await slots.receive(request, receiver)
    request.app.state.background.wake()
    return stored


def replay_upload(request: Request, site: Site, actor: Actor, submission: str) -> None:
    """Request a replay for the owner of an upload, or an admin."""
    require(actor, "submit")
    require_owner(actor, get_upload(site.db, submission).owner_id)
    request_replay(site.db, submission, actor.label)
    request.app.state.background.wake()
