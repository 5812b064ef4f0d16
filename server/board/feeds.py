"""The Atom feed of new runs, and badges of models."""

import datetime as dt
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from fastapi import APIRouter, Response

from fathom.harness.db import read
from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.db.schema.runs import RANKED_TIER
from fathom.harness.format import count, ranks, ratio, shorten, visible
from fathom.harness.records import RunSummary
from fathom.server.web.addresses import ModelName, ModelPath
from fathom.server.web.render import READ, RUN_STATE_WORDS, STYLE_WORDS, TIER_NAMES, SiteOf, half, points

router = APIRouter(include_in_schema=False)

_NEWEST = 50
_NEVER = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_ATOM = "http://www.w3.org/2005/Atom"
_SVG_POLICY = "default-src 'none'"


@router.api_route("/feed.atom", methods=READ)
def show_feed(site: SiteOf, model: ModelName = None) -> Response:
    """Send a feed of the newest runs, of all models or of one."""
    if model is None:
        runs, of, title = read.list_runs(site.db, _NEWEST), "all", "Fathom: newest results"
    else:
        (found,) = db_board.find_models(site.db, [model])
        runs, of = read.runs_of_model(site.db, found.id, _NEWEST), f"model:{found.id}"
        title = f"Fathom: {_line(found.name)}"
    return Response(_feed(title, of, runs), media_type="application/atom+xml")


def _feed(title: str, of: str, runs: Sequence[RunSummary]) -> str:
    feed = ET.Element("feed", {"xmlns": _ATOM})
    _add(feed, "title", title)
    _add(feed, "id", f"urn:fathom:feed:{of}")  # an IRI must not contain foreign text
    _add(feed, "updated", max((one.created_at for one in runs), default=_NEVER).isoformat())
    for one in runs:
        entry = ET.SubElement(feed, "entry")
        _add(entry, "title", f"{_line(one.model)}: {RUN_STATE_WORDS.get(one.state, one.state)}")
        _add(entry, "id", f"urn:fathom:run:{one.run}")
        ET.SubElement(entry, "link", {"rel": "alternate", "href": f"/runs/{one.run}"})
        _add(entry, "updated", one.created_at.isoformat())
        author = ET.SubElement(entry, "author")
        _add(author, "name", "Fathom")
        right = f"{ratio(one.k, one.n_done)} right" if one.n_done else "nothing counted yet"
        _add(entry, "summary", f"{_line(one.suite)} suite, engine {_line(one.engine)}: {right}.")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + str(ET.tostring(feed, encoding="unicode"))


def _add(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, name).text = text


def _line(foreign: str) -> str:
    return visible(shorten(foreign, 120))


@router.api_route("/badge/{name:path}.svg", methods=READ)
def show_badge(site: SiteOf, name: ModelPath) -> Response:
    """Draw a badge with a model's score and rank, in the first suite and style of the board where it is ranked.

    Of a model that only uploads speak for, it tells no number: anybody can send completions under any name.
    """
    (model,) = db_board.find_models(site.db, [name])
    best_last = reversed(db_board.ranks_of_models(site.db, [model.id])[model.id])
    places = {(place.pool, place.style): place for place in best_last}
    found = ((pool, style) for pool in db_board.list_pools(site.db) for style in pool.styles)
    said = "no result yet"
    if (first := next((one for one in found if (one[0].id, one[1]) in places), None)) is not None:
        pool, place = first[0], places[first[0].id, first[1]]
        rank = f"rank {ranks(place.rank_low, place.rank_high)} of {count(pool.n_models)}"
        how = f"{STYLE_WORDS.get(place.style, place.style).lower()}, {TIER_NAMES[place.tier]}"
        said = f"{points(place.score.value)} ±{half(place.score)}, {rank} ({how})"
        if place.tier < RANKED_TIER:
            said = "unchecked upload, not ranked"
    body = site.templates.get_template("badge.svg").render(said=said, width=len(said) * 6.4 + 14)
    return Response(body, media_type="image/svg+xml", headers={"Content-Security-Policy": _SVG_POLICY})
