"""Turn seasons into pages, and into the document that `fathom verify-season` reads."""

import datetime as dt
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, JSONResponse

from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.service.seasons.commitment import PRACTICE_SEED, suite_of
from fathom.harness.service.seasons.store import Season, get_season, list_seasons
from fathom.server.api.routes import PROBLEMS
from fathom.server.api.schema import SeasonList, SeasonOut
from fathom.server.web.render import READ, Site, SiteOf, page

router = APIRouter(include_in_schema=False)
api = APIRouter(prefix="/api/v1", responses=PROBLEMS)

_WORDS = {
    "new": "Its secret is drawn. Nothing is promised yet.",
    "committed": "The commitment is published. A beacon that nobody knew then will fix its questions.",
    "open": "Submissions are answered now. Counts, scores and labels are shown; questions and answers are sealed.",
    "closed": "No more submissions are taken. Questions and answers are sealed until the secret is revealed.",
    "revealed": "It is over. Its secret is public, its questions and answers may be read, and anybody can check it.",
}
_TIMES = {
    "created_at": "secret drawn", "committed_at": "commitment published", "opened_at": "opened with the beacon",
    "closed_at": "closed", "revealed_at": "secret revealed",
}  # fmt: skip
_TERMS = {
    "suite_version": "suite version", "n": "items a cell", "n_cells": "cells", "n_items": "items",
    "cells_digest": "digest of the cells", "generators": "generator versions", "prompt_digest": "prompt digest",
    "grader_digest": "grader digest", "fathom": "Fathom version",
}  # fmt: skip

SeasonPath = Annotated[str, Path(max_length=64, description="Name of a season.")]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done, and when."""

    words: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that the commitment covers."""

    term: str
    value: str


@dataclass(frozen=True, slots=True)
class SeasonPage:
    """Everything on the page; `standings` is empty where nobody stands in it."""

    season: Season
    words: str
    steps: tuple[Step, ...]
    terms: tuple[Term, ...]
    practice: str
    verify: str
    standings: str


@router.api_route("/seasons", methods=READ)
def show_seasons(site: SiteOf) -> HTMLResponse:
    """List all seasons, the newest first."""
    return page(site, "seasons", seasons=list_seasons(site.db), words=_WORDS, practice_seed=PRACTICE_SEED)


@router.api_route("/seasons/{season}.json", methods=READ)
def send_season(site: SiteOf, season: SeasonPath) -> JSONResponse:
    """Send what `fathom verify-season` reads."""
    return JSONResponse(get_season(site.db, season).document())


@router.api_route("/seasons/{season}", methods=READ)
def show_season(request: Request, site: SiteOf, season: SeasonPath) -> HTMLResponse:
    """Show what was promised, when, and what came of it."""
    address = request.app.state.service.url or str(request.base_url).rstrip("/")
    return page(site, "season", page=_open(site, get_season(site.db, season), address))


def _open(site: Site, season: Season, address: str) -> SeasonPage:
    few = ["--n", str(season.n)] if season.n is not None else []
    practice = ["fathom", "run", "--model", "MODEL", "--suite", season.suite, "--seed", season.practice_seed, *few]
    verify = ["fathom", "verify-season", season.id, "--server", address]
    return SeasonPage(
        season, _WORDS[season.state], tuple(_steps(season)), tuple(_terms(season.terms)), shlex.join(practice),
        shlex.join(verify), _standings(site, season),
    )  # fmt: skip


def _steps(season: Season) -> Iterator[Step]:
    for name, words in _TIMES.items():
        at = getattr(season, name)
        if at is not None:
            yield Step(words, at)


def _terms(terms: Mapping[str, Any]) -> Iterator[Term]:  # JSON of harness.season.Terms
    for name, words in _TERMS.items():
        value = terms.get(name)
        if isinstance(value, Mapping):
            yield Term(words, ", ".join(f"{key} {one}" for key, one in value.items()))
        elif value is not None:
            yield Term(words, str(value))


def _standings(site: Site, season: Season) -> str:
    """Return the address of the season's standings: only a pool that some model stands in can be asked for."""
    pool = suite_of(season.suite, season.practice_seed, season.n).pool()
    found = next((one for one in db_board.list_pools(site.db) if one.id == pool), None)
    stands = found is not None and season.id in found.facets.seasons
    return f"/?pool={pool}&season={season.id}" if stands else ""


@api.get("/seasons")
def list_all(site: SiteOf) -> SeasonList:
    """Return all seasons, the newest first."""
    found = list_seasons(site.db)
    return SeasonList(total=len(found), seasons=[SeasonOut(**one.document()) for one in found])


@api.get("/seasons/{season}")
def read_season(site: SiteOf, season: SeasonPath) -> SeasonOut:
    """Return a season: what was committed to, and once it is over the secret behind it."""
    return SeasonOut(**get_season(site.db, season).document())
