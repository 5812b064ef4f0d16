"""The JSON API of seasons."""

from fastapi import APIRouter

from fathom.harness.service.seasons.store import get_season, list_seasons
from fathom.server.api.routes import API_PROBLEMS
from fathom.server.api.schema import SeasonList, SeasonOut
from fathom.server.seasons.pages import SeasonName
from fathom.server.web.render import SiteOf

router = APIRouter(prefix="/api/v1", responses=API_PROBLEMS)


@router.get("/seasons")
def send_seasons(site: SiteOf) -> SeasonList:
    """Return all seasons, newest first."""
    found = list_seasons(site.db)
    return SeasonList(total=len(found), seasons=[SeasonOut(**one.document()) for one in found])


@router.get("/seasons/{season}")
def send_season(site: SiteOf, season: SeasonName) -> SeasonOut:
    """Return a season: what was committed to, and once it is over the secret behind it."""
    return SeasonOut(**get_season(site.db, season).document())
