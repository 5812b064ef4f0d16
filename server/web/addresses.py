"""Parts of addresses: types that check parameters of routes, links to models, and the pager."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

from fastapi import Path, Query, Request
from pydantic import AfterValidator, BeforeValidator, Field

from fathom.harness.db.leaderboard.places import BoardPlace
from fathom.harness.db.leaderboard.read import Model
from fathom.harness.errors import BadInput
from fathom.harness.records import Reading
from fathom.harness.settings import ServiceSettings

MAX_ID = 2**31 - 1
"""Largest id that the database can hold."""


def _blank_is_none(value: Any) -> Any:
    return None if value == "" else value


def _plain(value: str) -> str:
    if not value.isprintable():
        raise ValueError("control characters are not allowed in an address")
    return value


Open = BeforeValidator(_blank_is_none)  # a form sends empty texts for empty fields
Plain = AfterValidator(_plain)
HEX = re.compile(r"[0-9a-f]{1,32}")
_MODEL = "A model's name, or ~ and its number"
RunPath = Annotated[str, Path(max_length=64, description="A run's id, or a unique beginning of it.")]
RunId = Annotated[list[Annotated[str, Field(pattern=f"^{HEX.pattern}$")]], Query(min_length=1, max_length=2)]
ModelPath = Annotated[str, Plain, Path(max_length=400, description=f"{_MODEL}.")]
ModelName = Annotated[Annotated[str, Field(max_length=400), Plain] | None, Open, Query()]
Models = Annotated[
    Sequence[Annotated[str, Field(max_length=400), Plain]],
    Query(max_length=20, description=f"{_MODEL}; two to six of them."),
]
SampleFormat = Annotated[Literal["jsonl", "csv"], Path()]
StyleName = Annotated[Annotated[str, Field(max_length=64), Plain] | None, Open, Query()]
Only = Annotated[Literal["first", "second", "neither"] | None, Open, Query()]
PlotName = Annotated[str, Plain, Query(max_length=64)]
ThemeName = Annotated[Literal["light", "dark"], Query()]
CellId = Annotated[
    Annotated[int, Field(ge=0, le=MAX_ID)] | None, Open, Query(description="Number of a cell; all cells if empty.")
]
Label = Annotated[Annotated[str, Field(max_length=100)] | None, Open, Query(description="Label of the verdict.")]
Correct = Annotated[Literal["true", "false"] | None, Open, Query(description="Only right answers, or only wrong ones.")]
ReadingName = Annotated[
    Reading | None,
    Open,
    Query(description="How the answer was found: asked (in the form asked for), read, unread, or cut (off)."),
]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=1_000_000)]
SubmissionId = Annotated[str, Path(pattern="^[0-9a-f]{1,32}$", description="A submission's id.")]
SampleId = Annotated[int, Path(ge=0, le=2**62, description="Number of a sample.")]
_PLAIN = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95}){0,3}", re.ASCII)


def board_link(place: BoardPlace) -> str:
    """Return the address of the table that lists a run, narrowed to its model."""
    return "/?" + urlencode({"pool": place.pool, "style": place.style, "q": place.model[:100]})


def model_key(model: Model) -> str:
    """Return a model's name for an address: its own if it is plain, else ~ and its number."""
    return model.name if _PLAIN.fullmatch(model.name) else f"~{model.id}"


def model_path(model: Model) -> str:
    """Return the address of a model's page."""
    return f"/models/{quote(model_key(model))}"


def own_address(request: Request) -> str:
    """Return the address of this server, as https://fathom.example; empty in a static copy, which may lie anywhere.

    The configured address, if there is one. Otherwise the Host header says by which name and port this machine was
    asked: `accounts/middleware.py` has refused every name but those of this machine. A page that is kept and holds the
    address needs it in its key, or one visitor would choose the port that the next one reads.
    """
    service: ServiceSettings = request.app.state.service
    if service.url or not request.app.state.site.templates.globals["live"]:
        return service.url
    return f"http://{request.headers.get('host', '')}"


def badge_path(model: Model) -> str:
    """Return the address of a model's badge."""
    return f"/badge/{quote(model_key(model))}.svg"


class NoSuchPage(BadInput):
    """The address names a page beyond the last."""

    status = 404


@dataclass(frozen=True, slots=True)
class Pager:
    """The position of a page of a list; a link is None where there is no such page."""

    page: int
    n_pages: int
    first: int
    last: int
    total: int
    previous: str | None
    next: str | None


def make_pager(page: int, total: int, size: int, link: Callable[[int], str]) -> Pager:
    """Return the pager of a page; `link` writes the query of another page.

    Raises:
        NoSuchPage: the page is beyond the last one.
    """
    n_pages = max(1, -(-total // size))
    if page > n_pages:
        raise NoSuchPage(f"there is no page {page}: the last one is {n_pages}")
    first = (page - 1) * size
    previous = link(page - 1) if page > 1 else None
    following = link(page + 1) if page < n_pages else None
    return Pager(page, n_pages, min(first + 1, total), min(first + size, total), total, previous, following)
