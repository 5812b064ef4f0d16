"""Pages of uploads: the form for a file with results, and what was graded of it."""

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import Engine

from fathom.harness.db import read
from fathom.harness.db.leaderboard.places import place_of
from fathom.harness.db.leaderboard.read import Model
from fathom.harness.db.write import utc_now
from fathom.harness.errors import Conflict, FathomError
from fathom.harness.runs.prompt_format import prompt_format_text
from fathom.harness.stats.scores import CellCounts
from fathom.server.uploads.api import receive_upload, replay_upload, sender_of
from fathom.server.uploads.checks import Sender
from fathom.server.uploads.receiver import UploadReceipt, UploadReceiver
from fathom.server.uploads.replays import get_upload
from fathom.server.uploads.unpacker import UPLOAD_LIMITS
from fathom.server.web.actor import Actor, ActorOf
from fathom.server.web.addresses import SubmissionId, board_link
from fathom.server.web.forms import check_csrf, read_form
from fathom.server.web.multipart import FormStream
from fathom.server.web.render import READ, STYLE_WORDS, Site, SiteOf, page
from fathom.tasks.errors import TaskError

router = APIRouter(include_in_schema=False)

_RESULT_PAGE = re.compile(r"/submit/results/[0-9a-f]{1,32}")
_RANKED_WITHIN = dt.timedelta(minutes=2)
"""Time after an upload in which its page waits for its row on the board."""


@router.api_route("/submit/results", methods=READ)
def show_results_form(site: SiteOf, actor: ActorOf) -> HTMLResponse:
    """Show the form for a file."""
    return _results_form(site, actor)


@router.post("/submit/results")
async def take_results_form(request: Request, site: SiteOf, actor: ActorOf) -> Response:
    """Receive a file from the form; what is wrong is shown beside the field."""
    sender = sender_of(request, actor)
    receiver = _FormReceiver(request, site.db, sender)
    try:
        stored = await receive_upload(request, sender, receiver)
    except (FathomError, TaskError) as error:
        return _preview(site, actor, receiver, error) if receiver.is_preview else _results_form(site, actor, error)
    if receiver.is_preview:
        return _preview(site, actor, receiver)
    return RedirectResponse(f"/submit/results/{stored.submission}", 303)


def _preview(
    site: Site, actor: Actor, receiver: "_FormReceiver", error: FathomError | TaskError | None = None
) -> HTMLResponse:
    """Show a part of a page: what is in a file, or why it would be refused."""
    new = receiver.upload.new
    link = _RESULT_PAGE.search(str(error)) if isinstance(error, Conflict) else None
    return page(
        site, "preview_results", 200 if error is None else error.status, actor=actor, new=new,
        problem="" if error is None else str(error), link=link[0] if link else "", n_right=receiver.upload.n_right,
        asked="" if new is None else prompt_format_text(new.asked.chat, new.asked.n_shots),
    )  # fmt: skip


def _results_form(site: Site, actor: Actor, error: FathomError | TaskError | None = None) -> HTMLResponse:
    problem = "" if error is None else str(error)
    link = _RESULT_PAGE.search(problem) if isinstance(error, Conflict) else None
    return page(
        site, "send_results", 200 if error is None else error.status, actor=actor, limits=UPLOAD_LIMITS,
        problem=problem, link=link[0] if link else "",
    )  # fmt: skip


class _FormReceiver:
    """Receives the file of a form; the fields `csrf` and `preview` must come before the file."""

    def __init__(self, request: Request, db: Engine, sender: Sender) -> None:
        self._request, self._db, self._sender = request, db, sender
        self.upload = UploadReceiver(db, sender)
        self.is_preview = False
        self._form = FormStream(request.headers.get("content-type", ""), "file", self._open_file)

    def _open_file(self, fields: dict[str, str]) -> Callable[[bytes], None]:
        check_csrf(self._request, fields.get("csrf", ""))
        if fields.get("preview") == "1":
            self.is_preview, self.upload = True, UploadReceiver(self._db, self._sender, keep=False)
        return self.upload.feed

    def feed(self, chunk: bytes) -> None:
        """Take bytes of the form."""
        self._form.feed(chunk)

    def drop(self, reason: str) -> None:
        """Delete everything stored of the upload."""
        self.upload.drop(reason)

    def close(self) -> UploadReceipt:
        """End the form and the upload in it."""
        self._form.close()
        return self.upload.close()


@router.api_route("/submit/results/{submission}", methods=READ)
def show_result(site: SiteOf, actor: ActorOf, submission: SubmissionId) -> HTMLResponse:
    """Show what was graded of an upload, and the outcome of its replay."""
    found = get_upload(site.db, submission)
    detail = read.get_run(site.db, found.run)
    place = place_of(site.db, found.run)
    is_new = utc_now() - detail.summary.created_at < _RANKED_WITHIN
    return page(
        site, "result", upload=found, run=detail.summary, rows=_rows(detail.cells),
        model=Model(detail.summary.model_id, detail.summary.model),
        place=None if place is None else board_link(place), is_coming=place is None and is_new, actor=actor,
        may_ask=actor.owns(found.owner_id) and actor.may("submit"),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Row:
    """Counts of the cells of one family, channel and style."""

    name: str
    k: int
    n: int


def _rows(cells: Sequence[CellCounts]) -> list[_Row]:
    counts: dict[str, tuple[int, int]] = {}
    for cell in cells:
        name = f"{cell.family}, {cell.channel}, {STYLE_WORDS.get(cell.style, cell.style).lower()}"
        k, n = counts.get(name, (0, 0))
        counts[name] = (k + cell.k, n + cell.n)
    return [_Row(name, k, n) for name, (k, n) in counts.items()]


@router.post("/submit/results/{submission}/replay", dependencies=[Depends(read_form)])
def take_replay_form(request: Request, site: SiteOf, actor: ActorOf, submission: SubmissionId) -> Response:
    """Request a replay from the page of an upload."""
    replay_upload(request, site, actor, submission)
    return RedirectResponse(f"/submit/results/{submission}", 303)
