"""Pictures of link previews: what a chat or a social network shows where somebody pastes an address of this board.

They are PNG, 1200 by 630, since most of these services show no SVG. A picture is drawn when it is first asked for, and
kept as pages are. A process of its own draws it: the library holds Python's lock while it works, 40 ms in which nobody
else would be answered, and what it reads has names in it that strangers chose.
"""

import logging
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response

from fathom.harness.db import read
from fathom.harness.db.leaderboard.read import Model, find_models, get_revision
from fathom.harness.db.schema.runs import RANKED_TIER
from fathom.harness.errors import Busy
from fathom.harness.format import plural
from fathom.harness.reports.figures.palettes import PALETTES
from fathom.server.board.charts import Chart
from fathom.server.board.families import known_family_of, measured_family
from fathom.server.board.leaderboard import BoardQuery, open_board
from fathom.server.board.models import open_model
from fathom.server.web.addresses import ModelPath
from fathom.server.web.render import READ, STYLE_WORDS, Site, SiteOf, name
from fathom.tasks.registry import find_family

_log = logging.getLogger(__name__)
router = APIRouter(prefix="/previews", include_in_schema=False)

MOST_A_MINUTE = 20
"""Pictures that are drawn in a minute, 3 s of processor time; a preview without a picture is a small loss."""

_LONGEST = 20.0
"""Seconds after which a picture is given up."""
_DRAW = "import sys, vl_convert; sys.stdout.buffer.write(vl_convert.svg_to_png(sys.stdin.buffer.read().decode()))"

_MOST_CHARTS, _NAME = 8, 24


class PreviewPainter:
    """Draws one picture at a time and MOST_A_MINUTE, so that strangers who ask for many cannot keep a core busy."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._begun: deque[float] = deque()

    def paint(self, describe: Callable[[], str]) -> bytes:
        """Return an SVG as PNG.

        Raises:
            Busy: another picture is being drawn, or too many were in the last minute, or this one cannot be drawn.
        """
        if not self._lock.acquire(blocking=False):
            raise Busy("another picture is being drawn: try again in a moment")
        try:
            now = self._clock()
            while self._begun and now - self._begun[0] >= 60:
                self._begun.popleft()
            if len(self._begun) >= MOST_A_MINUTE:
                raise Busy("many pictures were drawn just now: try again in a minute")
            self._begun.append(now)
            return _draw(describe())
        finally:
            self._lock.release()


def _draw(svg: str) -> bytes:
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", _DRAW], input=svg.encode(), capture_output=True, timeout=_LONGEST, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        _log.error("a preview cannot be drawn: %s", getattr(error, "stderr", None) or error)
        raise Busy("this picture cannot be drawn now") from error
    return done.stdout


@dataclass(frozen=True, slots=True)
class _Preview:
    """What a picture shows; `key` names the lines by hue."""

    title: str
    lead: str
    key: Sequence[tuple[int, str]] = ()
    charts: Sequence[tuple[str, Chart]] = ()


@router.api_route("/board.png", methods=READ)
def show_board_preview(request: Request, site: SiteOf) -> Response:
    """Draw the curves of the first page."""
    return _answer(request, site, ("board",), lambda: _of_board(site))


@router.api_route("/models/{name:path}.png", methods=READ)
def show_model_preview(request: Request, site: SiteOf, name: ModelPath) -> Response:
    """Draw the curves of a model, a line a style."""
    (model,) = find_models(site.db, [name])
    return _answer(request, site, ("model", model.id), lambda: _of_model(site, model))


@router.api_route("/families/{family}.png", methods=READ)
def show_family_preview(request: Request, site: SiteOf, family: str) -> Response:
    """Draw the curves of models on a family, a chart a style."""
    known = known_family_of(site.db, family[:80])
    return _answer(request, site, ("family", known.name), lambda: _of_family(site, known.name))


def _answer(request: Request, site: Site, key: tuple[Hashable, ...], make: Callable[[], _Preview]) -> Response:
    painter: PreviewPainter = request.app.state.previews

    def draw() -> bytes:
        return painter.paint(lambda: _describe(site, make()))

    body = site.pages.get(("preview", *key, *get_revision(site.db)), draw)
    return Response(body, media_type="image/png", headers={"Cache-Control": "public, max-age=600"})


def _describe(site: Site, preview: _Preview) -> str:
    return site.templates.get_template("preview.svg").render(
        title=name(preview.title, 56), lead=name(preview.lead, 96), charts=preview.charts[:_MOST_CHARTS],
        key=[(hue, name(words, _NAME)) for hue, words in preview.key], hues=PALETTES["light"].hues,
    )  # fmt: skip


def _of_board(site: Site) -> _Preview:
    board = open_board(site.db, BoardQuery.model_validate({}))
    if board is None:
        return _Preview("No results yet", "Accuracy against difficulty, on questions made fresh from a seed.")
    models = plural(board.pool.n_models, "model")
    return _Preview(
        f"{models} on questions that get harder", f"Accuracy by difficulty, {STYLE_WORDS[board.style].lower()}.",
        [(hue, one.model.name.rpartition("/")[2]) for hue, one in enumerate(board.drawn)],
        [(one.title, one) for one in board.charts],
    )  # fmt: skip


def _of_model(site: Site, model: Model) -> _Preview:
    page = open_model(site.db, model, read.runs_of_model(site.db, model.id))
    if page.detail is None or not page.charts:
        return _Preview(model.name, "No result yet.")
    if page.detail.summary.tier < RANKED_TIER:
        return _Preview(model.name, "Unchecked: sent by a user, and not ranked.")
    return _Preview(
        model.name, f"Accuracy by difficulty, {page.detail.summary.suite} suite.",
        [(hue, STYLE_WORDS[style]) for style, hue in page.styles.items()],
        [(one.title, one) for one in page.charts],
    )  # fmt: skip


def _of_family(site: Site, family: str) -> _Preview:
    known, measured = find_family(family), measured_family(site.db, family)
    curves = measured.curves if measured else ()
    return _Preview(
        known.title, known.summary, (), [(STYLE_WORDS.get(one.style, one.style), one.chart) for one in curves[:4]]
    )
