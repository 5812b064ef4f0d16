"""The page of what a model holds inside: its probes, with all controls, their pictures, and two probes side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse
from pydantic import Field
from sqlalchemy import Engine

from fathom.harness.db import probes as store
from fathom.harness.db.leaderboard.read import Model
from fathom.harness.db.probes import ProbeDetail, ProbeSummary
from fathom.harness.probing.compare import ProbeComparison, compare_probes
from fathom.harness.probing.heatmap import WIDTH, HeatMap, draw_heat_map, heat_map
from fathom.harness.probing.tables import CONTROLS, MEASURES, WORDS, TargetLine, target_line
from fathom.server.board.leaderboard import NoSuchView
from fathom.server.web.addresses import HEX, ModelPath, Open, PlotName, ThemeName, model_key
from fathom.server.web.headers import REVALIDATE, with_etag
from fathom.server.web.render import READ, SiteOf, page

router = APIRouter(include_in_schema=False)

ProbeId = Annotated[Annotated[str, Field(pattern=f"^{HEX.pattern}$")] | None, Open, Query()]
_SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class InsideTarget:
    """A target with its picture; no picture where it was left out."""

    line: TargetLine
    measure: str
    light: str
    dark: str
    picture: HeatMap | None


@dataclass(frozen=True, slots=True)
class InsidePage:
    """Everything on the page: the probe that is shown, all probes of the model, and one to compare with."""

    model: Model
    key: str
    probes: Sequence[ProbeSummary]
    shown: ProbeDetail
    targets: Sequence[InsideTarget]
    other: ProbeDetail | None
    comparison: ProbeComparison | None
    others: Sequence[ProbeSummary]
    """Probes of other models and of this one that may be compared."""


@router.api_route("/models/{name:path}/inside", methods=READ)
def show_inside(site: SiteOf, name: ModelPath, probe: ProbeId = None, other: ProbeId = None) -> HTMLResponse:
    """Show what was read in a model's states, its newest probe unless one is named."""
    shown = open_inside(site.db, name, probe, other)
    return page(site, "inside", page=shown, width=WIDTH, verdicts=WORDS, controls=CONTROLS)


def open_inside(db: Engine, name: str, probe: str | None, other: str | None) -> InsidePage:
    """Read a model's probes.

    Raises:
        UnknownModel, UnknownRun: no such model has a probe, or there is no such probe.
        NoSuchView: the probe is of another model.
    """
    model = Model(*store.model_with_probes(db, name))
    recent = store.list_probes(db)
    mine = store.list_probes(db, model.id)
    shown = store.get_probe(db, probe or mine[0].id)
    if shown.summary.model_id != model.id:
        raise NoSuchView("this probe is of another model: choose one of those on the model's page")
    second = None if other is None else store.get_probe(db, other)
    return InsidePage(
        model, model_key(model), mine, shown,
        tuple(
            InsideTarget(
                target_line(target), MEASURES[target.facts.kind], *_links(shown.summary.id, target.facts.name),
                None if target.facts.note or not target.points else heat_map(target),
            )
            for target in shown.targets
        ),
        second, None if second is None else compare_probes(shown, second),
        [one for one in recent if one.id != shown.summary.id],
    )  # fmt: skip


def _links(probe: str, target: str) -> tuple[str, str]:
    light, dark = (
        f"/pictures/inside.svg?{urlencode({'probe': probe, 'target': target, 'theme': theme})}"
        for theme in ("light", "dark")
    )
    return light, dark


@router.api_route("/pictures/inside.svg", methods=READ)
def draw_inside(
    site: SiteOf, probe: Annotated[str, Query(pattern=f"^{HEX.pattern}$")], target: PlotName, theme: ThemeName = "light"
) -> Response:
    """Draw what was read of one target, by place and layer."""
    detail = store.get_probe(site.db, probe)
    found = next((one for one in detail.targets if one.facts.name == target and one.points), None)
    if found is None:
        raise NoSuchView("there is nothing to draw: no such target, or nothing was read of it")
    headers = {"Content-Security-Policy": _SVG_POLICY, "Cache-Control": REVALIDATE}
    drawn = Response(draw_heat_map(found, theme), media_type="image/svg+xml", headers=headers)
    return with_etag(drawn, f"{detail.summary.id}-{found.id}-{len(found.points)}-{theme}")
