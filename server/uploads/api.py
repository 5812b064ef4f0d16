"""Take results in that were made elsewhere: as a parcel over the API, or as a file in a form."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import Field

from fathom.harness.db import read
from fathom.harness.errors import Conflict, FathomError
from fathom.harness.stats.counts import CellCounts
from fathom.server.uploads.admission import Sender
from fathom.server.uploads.intake import Intake, Receipt
from fathom.server.uploads.replays import ask_replay, get_upload
from fathom.server.uploads.unpack import LIMITS
from fathom.server.web.actor import Actor, ActorOf, require, require_owner
from fathom.server.web.bodies import Reception, Taker, check_length
from fathom.server.web.forms import check_csrf, read_form
from fathom.server.web.limits import spend
from fathom.server.web.multipart import FormStream
from fathom.server.web.problems import Frozen, Problem
from fathom.server.web.render import READ, Site, SiteOf, page
from fathom.tasks.errors import TaskError

router = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api/v1")

SubmissionId = Annotated[str, Path(pattern="^[0-9a-f]{1,32}$", description="A submission's id.")]

_BODY = {
    "required": True,
    "description": "A parcel as `fathom submit --out FILE` writes it: JSON lines, plain or gzip.",
    "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
}
_ANSWERS = {
    401: "Nobody has signed in, or the token is not known.", 403: "The token lacks the scope `submit`.",
    408: "The body came too slowly.", 409: "The same results stand here already.",
    413: "More bytes than are taken.", 422: "The results cannot be taken; `detail` says why.",
    429: "Too many uploads; wait.", 503: "Too many uploads at this moment; try again.", 404: "There is none such.",
}  # fmt: skip


def _problems(*codes: int) -> dict[int | str, dict[str, Any]]:  # OpenAPI's JSON
    content = {"application/problem+json": {"schema": Problem.model_json_schema()}}
    return {code: {"description": _ANSWERS[code], "content": content} for code in codes}


class ResultOut(Frozen):
    """What was stored of a parcel: each item was made and graded here again."""

    submission: str
    run: str
    tier: int = Field(description="1: sent by a user, not replayed yet.")
    n_items: int
    n_right: int
    page: str = Field(description="Where people read about it.")


@api.post(
    "/results", status_code=201, openapi_extra={"requestBody": _BODY},
    responses=_problems(401, 403, 408, 409, 413, 422, 429, 503),
)  # fmt: skip
async def send_results(request: Request, site: SiteOf, actor: ActorOf) -> ResultOut:
    """Send a run made elsewhere. Completions are graded here; scores in the parcel are never read."""
    sender = _sender(request, actor)
    got = await _take(request, site, sender, Intake(site.db, sender))
    return ResultOut(
        submission=got.submission, run=got.run, tier=1, n_items=got.n_items, n_right=got.n_right,
        page=f"/submit/results/{got.submission}",
    )  # fmt: skip


@api.post("/submissions/{submission}/replay", status_code=202, responses=_problems(401, 403, 404, 409, 422))
def ask_for_replay(request: Request, site: SiteOf, actor: ActorOf, submission: SubmissionId) -> Response:
    """Ask that a worker answers random items of an upload again: if it agrees, the run rises to tier 2."""
    _ask_replay(request, site, actor, submission)
    return Response(status_code=202)


@router.api_route("/submit/results", methods=READ)
def show_form(site: SiteOf, actor: ActorOf) -> HTMLResponse:
    """Show the form for a file."""
    return _form(site, actor)


@router.post("/submit/results")
async def take_form(request: Request, site: SiteOf, actor: ActorOf) -> Response:
    """Take a file from the form in; what is wrong is said beside the field."""
    sender = _sender(request, actor)
    try:
        got = await _take(request, site, sender, _FormTaker(request, Intake(site.db, sender)))
    except (FathomError, TaskError) as error:
        return _form(site, actor, error)
    return RedirectResponse(f"/submit/results/{got.submission}", 303)


@router.api_route("/submit/results/{submission}", methods=READ)
def show_result(site: SiteOf, actor: ActorOf, submission: SubmissionId) -> HTMLResponse:
    """Show what was graded of an upload, and what a replay said."""
    found = get_upload(site.db, submission)
    detail = read.get_run(site.db, found.run)
    return page(
        site, "result", upload=found, run=detail.summary, rows=_rows(detail.cells), actor=actor,
        may_ask=actor.owns(found.owner_id) and actor.may("submit"),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Row:
    """Counts of cells of one family, channel and style."""

    name: str
    k: int
    n: int


def _rows(cells: Sequence[CellCounts]) -> list[_Row]:
    counts: dict[str, tuple[int, int]] = {}
    for cell in cells:
        name = f"{cell.family} {cell.channel} {cell.style}"
        k, n = counts.get(name, (0, 0))
        counts[name] = (k + cell.k, n + cell.n)
    return [_Row(name, k, n) for name, (k, n) in counts.items()]


@router.post("/submit/results/{submission}/replay", dependencies=[Depends(read_form)])
def take_replay_form(request: Request, site: SiteOf, actor: ActorOf, submission: SubmissionId) -> Response:
    """Ask for a replay from the page of an upload."""
    _ask_replay(request, site, actor, submission)
    return RedirectResponse(f"/submit/results/{submission}", 303)


def _ask_replay(request: Request, site: Site, actor: Actor, submission: str) -> None:
    require(actor, "submit")
    require_owner(actor, get_upload(site.db, submission).owner_id)
    ask_replay(site.db, submission, actor.label)
    request.app.state.housekeeper.wake()


def _sender(request: Request, actor: Actor) -> Sender:
    service = request.app.state.service
    return Sender(require(actor, "submit"), actor.label, service.oidc is None, service.secret_key)


async def _take(request: Request, site: Site, sender: Sender, taker: Taker[Receipt]) -> Receipt:
    reception: Reception = request.app.state.reception
    check_length(request, LIMITS.packed + _FORM)
    if not sender.local:
        limit = partial(spend, site.db, f"upload:{sender.owner_id}", reception.hourly, 3600)
        await reception.in_thread(limit)
    with reception.enter(sender.owner_id):
        got = await reception.take(request, taker)
    request.app.state.housekeeper.wake()
    return got


_FORM = 16 << 10
"""Bytes of a form beside its file."""


class _FormTaker:
    """Takes the file of a form; its field `csrf` must stand before the file and be right."""

    def __init__(self, request: Request, intake: Intake) -> None:
        self._request, self._intake = request, intake
        self._form = FormStream(request.headers.get("content-type", ""), "file", self._opened)

    def _opened(self, fields: dict[str, str]) -> Callable[[bytes], None]:
        check_csrf(self._request, fields.get("csrf", ""))
        return self._intake.feed

    def feed(self, chunk: bytes) -> None:
        """Take bytes of the form."""
        self._form.feed(chunk)

    def drop(self, reason: str) -> None:
        """Leave nothing behind."""
        self._intake.drop(reason)

    def close(self) -> Receipt:
        """End the form and the parcel in it."""
        self._form.close()
        return self._intake.close()


def _form(site: Site, actor: Actor, error: FathomError | TaskError | None = None) -> HTMLResponse:
    problem = "" if error is None else str(error)
    link = _OWN_PAGE.search(problem) if isinstance(error, Conflict) else None
    return page(
        site, "send_results", 200 if error is None else error.status, actor=actor, limits=LIMITS, problem=problem,
        link=link[0] if link else "",
    )  # fmt: skip


_OWN_PAGE = re.compile(r"/submit/results/[0-9a-f]{1,32}")
