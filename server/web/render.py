"""Pages from templates: filters, globals, and finished pages that are kept in memory."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Engine

from fathom.harness import format as text
from fathom.harness.records import CellUsage, RunSummary
from fathom.harness.reports.figures.cache import Cache
from fathom.harness.stats.cell_measures import CellMeasure
from fathom.harness.stats.intervals import Estimate
from fathom.server.web.addresses import model_key, model_path
from fathom.tasks.registry import all_families

TIER_NAMES = {1: "unchecked", 2: "replayed", 3: "run here"}
"""Short words for each tier of a run."""

TIER_MEANINGS = {
    1: "Completions sent by a user, graded here; nobody asked the model again.",
    2: "Sent by a user; the model gave the same answers to random items when asked again here.",
    3: "Run by this board’s own workers.",
}
"""What each tier says about a run."""

STYLE_WORDS = {
    "direct": "At once", "cot": "With reasoning", "choice": "Pick a choice", "free": "Free text",
    "trained": "As in training", "bits": "Bits learnt",
}  # fmt: skip
"""Plain words for each style of answering."""


RUN_STATE_WORDS = {
    "done": "finished", "running": "running", "waiting": "waiting for a worker", "interrupted": "stopped",
    "failed": "failed",
}  # fmt: skip
"""Plain words for the states of a run."""

SUBMISSION_STATE_WORDS = {
    "validating": "accepted, being planned", "queued": "waiting for a worker", "leased": "claimed by a worker",
    "downloading": "downloading the model", "loading": "loading the model", "generating": "answering",
    "scoring": "scoring", "finished": "finished", "failed": "failed", "cancelled": "cancelled",
    "superseded": "replaced by a later submission",
}  # fmt: skip
"""Plain words for the states of a submission."""

PRIVATE = "private, no-store"
"""Cache-Control of a page made for one visitor; only such pages come with a cookie."""

READ = ["GET", "HEAD"]
"""Methods of every page without a form."""

_PAGES = 256
"""Pages kept in memory; most have about 100 kB."""

_DRAWN = 64
"""Values of a page that are kept in memory, such as the curves of a family."""

_MEASURED = 4096
"""Runs whose measures are kept in memory; a few kB each."""

_TEMPLATES = Path(__file__).parents[1] / "templates"


@dataclass(frozen=True, slots=True)
class Site:
    """The database, the templates and what is kept in memory."""

    db: Engine
    templates: Environment
    pages: Cache[tuple[Hashable, ...], bytes] = field(default_factory=lambda: Cache(_PAGES))
    """Finished pages, by everything that decides their content."""
    drawn: Cache[tuple[Hashable, ...], Any] = field(default_factory=lambda: Cache(_DRAWN))
    """Values that a page computes from the database, by everything that decides them."""
    measures: Cache[RunSummary, tuple[CellMeasure, ...]] = field(default_factory=lambda: Cache(_MEASURED))
    usage: Cache[RunSummary, tuple[CellUsage, ...]] = field(default_factory=lambda: Cache(_MEASURED))
    """Measures of runs, which can take seconds to compute."""


def open_templates(*, live: bool = True, public: str = "") -> Environment:
    """Return the template environment; an undefined name raises an error.

    With `live` false, for a static copy, pages have no forms. `public` is the configured address, from which link
    previews fetch their pictures; empty where there is none.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clock=text.instant,
        key=model_key,
        in_units=in_units,
        track=track,
        whole=whole,
        half=half,
        points=points,
        shade=shade,
        size=text.size,
        megabytes=text.megabytes,
        p=text.p_value,
        signed=signed,
        count=text.count,
        duration=text.duration,
        interval=text.interval_text,
        prompt_format=text.prompt_format_words,
        milliseconds=text.milliseconds,
        name=name,
        nats=text.log_likelihood,
        percent=text.percent,
        score=text.score,
        visible=text.visible,
    )
    environment.globals.update(
        tier_names=TIER_NAMES,
        tier_meanings=TIER_MEANINGS,
        style_words=STYLE_WORDS,
        run_state_words=RUN_STATE_WORDS,
        submission_state_words=SUBMISSION_STATE_WORDS,
        families=all_families(),
        plural=text.plural,
        ratio=text.ratio,
        ranks=text.ranks,
        live=live,
        public=public if live else "",
        path=model_path,
        key=model_key,
    )
    return environment


def points(value: float) -> str:
    """Write a score of 0..1 in points, as 71.3, with a real minus sign."""
    return f"{100 * value:z.1f}".replace("-", "\N{MINUS SIGN}")


def whole(value: float) -> str:
    """Write a score or share of 0..1 in whole points, with a real minus sign."""
    return f"{100 * value:z.0f}".replace("-", "\N{MINUS SIGN}")


_SINGULAR = {"biographies": "biography", "people": "person"}


def in_units(amount: str, unit: str) -> str:
    """Write an amount with its unit, as 1 hop, < 1 hop and 2.5 hops."""
    one = _SINGULAR.get(unit) or unit.removesuffix("s")
    return f"{amount} {one if amount.split(' ')[-1] == '1' else unit}"


def track(value: float) -> str:
    """Return the position of a score on a track of 100 units."""
    return f"{100 * min(1.0, max(0.0, value)):.1f}"


def half(score: Estimate) -> str:
    """Write half of a score's 95% interval in points."""
    return f"{50 * (score.interval.high - score.interval.low):.1f}"


def signed(difference: Estimate) -> str:
    """Write a difference of scores in points, as +12.3 ±4.5."""
    return f"{100 * difference.value:+z.1f} ±{half(difference)}".replace("-", "\N{MINUS SIGN}")


def shade(value: float) -> int:
    """Return the step of the colour scale for a score of 0..1, 0..10."""
    return round(10 * min(1.0, max(0.0, value)))


def name(foreign: str, limit: int = 120) -> str:
    """Write a foreign text on one line: shortened, with hidden characters made visible."""
    return text.visible(text.shorten(foreign, limit))


def site_of(request: Request) -> Site:
    """Return the application's site."""
    site: Site = request.app.state.site
    return site


SiteOf = Annotated[Site, Depends(site_of)]


def page(site: Site, template: str, status: int = 200, **values: object) -> HTMLResponse:
    """Render a template of `templates/`; with `actor` among the values, the page is private."""
    headers = {"Cache-Control": PRIVATE} if "actor" in values else None
    return HTMLResponse(fill(site, template, **values), status, headers)


def cached_page(site: Site, key: tuple[Hashable, ...], make: Callable[[], str]) -> HTMLResponse:
    """Answer with the page kept under this key, or make and keep it."""
    return HTMLResponse(site.pages.get(key, lambda: make().encode()))


def cached_run_page(site: Site, run: RunSummary, key: tuple[Hashable, ...], make: Callable[[], str]) -> HTMLResponse:
    """Answer with the page kept for this state of a run; pages of a run that is going are always rendered again."""
    if run.is_going:
        return HTMLResponse(make())
    return cached_page(site, (run, *key), make)


def fill(site: Site, template: str, **values: object) -> str:
    """Render a template of `templates/` to text."""
    return site.templates.get_template(f"{template}.html").render(values)
