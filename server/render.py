"""Turn a template and values into a page."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Engine

from harness import format as text

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class Site:
    """What every page needs."""

    db: Engine
    templates: Environment


def open_templates() -> Environment:
    """Return the environment of all templates; a name that is not given is an error, not a blank."""
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clock=text.instant,
        count=text.count,
        duration=text.duration,
        interval=text.interval_text,
        milliseconds=text.milliseconds,
        name=name,
        nats=text.log_likelihood,
        percent=text.percent,
        score=text.score,
        visible=text.visible,
    )
    environment.globals.update(plural=text.plural, ratio=text.ratio)
    return environment


def name(foreign: str, limit: int = 120) -> str:
    """Write a foreign text where one line is wanted: cut to size, nothing hidden in it."""
    return text.visible(text.shorten(foreign, limit))


def site_of(request: Request) -> Site:
    """Return the site that the application was made with."""
    site: Site = request.app.state.site
    return site


SiteOf = Annotated[Site, Depends(site_of)]


def page(site: Site, template: str, status: int = 200, **values: object) -> HTMLResponse:
    """Fill a template of `templates/`."""
    return HTMLResponse(site.templates.get_template(f"{template}.html").render(values), status)
