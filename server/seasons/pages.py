"""Pages of seasons: what was promised and when, and the document that `fathom verify-season` reads."""

import datetime as dt
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, JSONResponse

from fathom.harness.db.leaderboard import read as db_board
from fathom.harness.format import count
from fathom.harness.service.seasons.commitment import EXCHANGEABILITY, PRACTICE_SEED, suite_of
from fathom.harness.service.seasons.store import Season, get_season, list_seasons
from fathom.server.web.addresses import own_address
from fathom.server.web.render import READ, Site, SiteOf, page

router = APIRouter(include_in_schema=False)

_WORDS = {
    "new": "The secret is drawn. Nothing is published yet.",
    "committed": "The commitment is published. A beacon that nobody knew then will fix the questions.",
    "open": "Submissions are accepted. Counts, scores and labels are shown; questions and answers are sealed.",
    "closed": "No more submissions are accepted. Questions and answers are sealed until the secret is revealed.",
    "revealed": "The season is over. Its secret, questions and answers are public, and anybody can check it.",
}
_TIMES = {
    "created_at": "secret drawn", "committed_at": "commitment published", "opened_at": "opened with the beacon",
    "closed_at": "closed", "revealed_at": "secret revealed",
}  # fmt: skip
_TERMS = {
    "suite_version": "suite version", "n": "items per cell", "n_cells": "cells", "n_items": "items",
    "cells_digest": "digest of the cells", "generators": "generator versions", "prompt_digest": "prompt digest",
    "grader_digest": "grader digest", "fathom": "Fathom version",
}  # fmt: skip

SeasonName = Annotated[str, Path(max_length=64, description="Name of a season.")]


@dataclass(frozen=True, slots=True)
class _Step:
    """One step of a season, and its time."""

    words: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class _Term:
    """One thing that the commitment covers."""

    term: str
    value: str


@dataclass(frozen=True, slots=True)
class SeasonPage:
    """Everything on the page of a season; `standings` is empty where no model is ranked."""

    season: Season
    words: str
    exchangeability: str
    steps: tuple[_Step, ...]
    terms: tuple[_Term, ...]
    practice: str
    verify: str
    standings: str


@router.api_route("/seasons", methods=READ)
def show_seasons(site: SiteOf) -> HTMLResponse:
    """List all seasons, newest first."""
    return page(site, "seasons", seasons=list_seasons(site.db), words=_WORDS, practice_seed=PRACTICE_SEED)


@router.api_route("/seasons/{season}.json", methods=READ)
def send_season_document(site: SiteOf, season: SeasonName) -> JSONResponse:
    """Send the document that `fathom verify-season` reads."""
    return JSONResponse(get_season(site.db, season).document())


@router.api_route("/seasons/{season}", methods=READ)
def show_season_page(request: Request, site: SiteOf, season: SeasonName) -> HTMLResponse:
    """Show what was promised, when, and how to check it."""
    return page(site, "season", page=_open(site, get_season(site.db, season), own_address(request) or "ADDRESS"))


def _open(site: Site, season: Season, address: str) -> SeasonPage:
    few = ["--n", str(season.n)] if season.n is not None else []
    practice = ["fathom", "run", "--model", "MODEL", "--suite", season.suite, "--seed", season.practice_seed, *few]
    verify = ["fathom", "verify-season", season.id, "--server", address]
    return SeasonPage(
        season, _WORDS[season.state], EXCHANGEABILITY, tuple(_steps(season)), tuple(_terms(season.terms)),
        shlex.join(practice), shlex.join(verify), _standings(site, season),
    )  # fmt: skip


def _steps(season: Season) -> Iterator[_Step]:
    for name, words in _TIMES.items():
        at = getattr(season, name)
        if at is not None:
            yield _Step(words, at)


def _terms(terms: Mapping[str, Any]) -> Iterator[_Term]:  # JSON of commitment.Terms
    for name, words in _TERMS.items():
        value = terms.get(name)
        if isinstance(value, Mapping):
            yield _Term(words, ", ".join(f"{key} {one}" for key, one in value.items()))
        elif value is not None:
            yield _Term(words, count(value) if isinstance(value, int) else str(value))


def _standings(site: Site, season: Season) -> str:
    """Return the address of the season's ranks, or an empty text where no model is ranked."""
    pool = suite_of(season.suite, season.practice_seed, season.n).pool()
    found = next((one for one in db_board.list_pools(site.db) if one.id == pool), None)
    is_ranked = found is not None and season.id in found.facets.seasons
    return f"/?pool={pool}&season={season.id}" if is_ranked else ""
