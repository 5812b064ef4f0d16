"""The whole board as static files: pages, pictures, tables, feeds."""

import asyncio
import html
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx
from fastapi import FastAPI

from fathom.harness.errors import BadInput, EngineFailed
from fathom.server.app import STATIC, ServerSettings, create_app

_SEED = "2026"
"""Seed of the example on a family's page; a live board draws a new one each time."""

_LINK = re.compile(r'(href|src|srcset)="([^"]*)"')
_PLACE = re.compile(r"[^\w.~-]+")
_LONGEST = 100
"""Most characters of a file name."""

_ROUTES: tuple[tuple[str, frozenset[str]], ...] = (
    (r"/", frozenset({"pool", "style", "family", "channel", "page"})),
    (r"/board\.(csv|json|parquet)", frozenset({"pool", "style", "family", "channel"})),
    (r"/models/.+", frozenset({"run"})),
    (r"/runs", frozenset({"page"})),
    (r"/runs/[0-9a-f]+", frozenset()),
    (r"/runs/[0-9a-f]+/samples", frozenset({"page"})),
    (r"/runs/[0-9a-f]+/samples\.(csv|jsonl)", frozenset()),
    (r"/seasons", frozenset()),
    (r"/seasons/[a-z0-9-]+(\.json)?", frozenset()),
    (r"/families", frozenset()),
    (r"/families/[a-z0-9_:]+", frozenset()),
    (r"/about", frozenset()),
    (r"/static/.+", frozenset()),
    (r"/pictures/.+", frozenset({"run", "family", "ladder", "channel", "style", "theme"})),
    (r"/badge/.+\.svg", frozenset()),
    (r"/feed\.atom", frozenset({"model"})),
)  # fmt: skip
"""Addresses that are copied, with their allowed parameters; links to other addresses are removed."""


@dataclass(frozen=True, slots=True)
class StaticCopy:
    """What was written: files, bytes, and addresses that answered with an error."""

    n_files: int
    n_bytes: int
    missing: tuple[str, ...]


ReportFiles = Callable[[int, int], None]
"""Called with the numbers of files written and of addresses found so far."""


def _silent(_done: int, _known: int) -> None:
    """Report nothing."""


def copy_board(database: str, out: Path, sample_pages: int = 1, report: ReportFiles | None = None) -> StaticCopy:
    """Write every page of a board into an empty or new folder, with relative links.

    The first `sample_pages` pages of each run's samples are copied, and all samples as CSV and JSON lines.

    Raises:
        BadInput: the folder holds other files.
        StoreError: the database cannot be read.
        EngineFailed: a page raises an error.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} is not an empty folder: give a new one, so that no file of yours is overwritten")
    app = create_app(ServerSettings(database, live=False))
    with ThreadPoolExecutor(1) as apart:  # the caller may run an event loop, as a notebook does
        return apart.submit(lambda: asyncio.run(_copy(app, _Site(out, sample_pages), report or _silent))).result()


@dataclass(slots=True)
class _Site:
    """The addresses found so far, and their files."""

    out: Path
    sample_pages: int
    files: dict[str, str] = field(default_factory=dict)
    waiting: deque[str] = field(default_factory=deque)

    def file_for(self, address: str) -> str | None:
        """Return the file of an address, and queue the address; None where it is not copied."""
        if address in self.files:
            return self.files[address]
        if not _is_copied(address, self.sample_pages):
            return None
        self.files[address] = _file_of(address)
        self.waiting.append(address)
        return self.files[address]


def _is_copied(address: str, sample_pages: int) -> bool:
    parts = urlsplit(address)
    asked = dict(parse_qsl(parts.query))
    if parts.netloc or (parts.path.endswith("/samples") and int(asked.get("page", 1)) > sample_pages):
        return False
    return any(re.fullmatch(route, parts.path) and set(asked) <= known for route, known in _ROUTES)


def _file_of(address: str) -> str:
    """Return the file name of an address: path, parameters, and .html where the path has no suffix."""
    parts = urlsplit(address)
    path = "/".join(_PLACE.sub("_", part) for part in unquote(parts.path).strip("/").split("/")) or "index"
    asked = _PLACE.sub("_", "--".join(f"{key}-{value}" for key, value in parse_qsl(parts.query)))
    if len(asked) > _LONGEST:
        asked = blake2b(asked.encode(), digest_size=12).hexdigest()
    ending = PurePosixPath(path).suffix
    if ending not in (".svg", ".css", ".js", ".csv", ".json", ".jsonl", ".parquet", ".atom"):
        path, ending = f"{path}.html", ".html"
    stem = path.removesuffix(ending)
    return f"{stem}--{asked}{ending}" if asked else f"{stem}{ending}"


async def _copy(app: FastAPI, site: _Site, report: ReportFiles) -> StaticCopy:
    missing, n_files, n_bytes = [], 0, 0
    for start in ("/", "/runs", "/seasons", "/families", "/about", "/feed.atom", *_static_files()):
        site.file_for(start)
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://board") as client:
        while site.waiting:
            address = site.waiting.popleft()
            body = await _fetch(client, address)
            if body is None:
                missing.append(address)
                continue
            written = _write(site, address, body)
            n_files, n_bytes = n_files + 1, n_bytes + written
            report(n_files, len(site.files))
    return StaticCopy(n_files, n_bytes, tuple(missing))


def _static_files() -> Iterator[str]:
    """Yield the static files, those that only style sheets use as well."""
    return (f"/static/{path.name}" for path in sorted(STATIC.iterdir()))


async def _fetch(client: httpx.AsyncClient, address: str) -> bytes | None:
    asked = f"{address}?seed={_SEED}&reveal=1" if re.fullmatch(r"/families/[a-z]+", address) else address
    answer = await client.get(asked)
    if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise EngineFailed(f"the page {address} is broken: `fathom serve` shows it; please report this")
    return answer.content if answer.status_code == httpx.codes.OK else None


def _write(site: _Site, address: str, body: bytes) -> int:
    file = site.files[address]
    if file.endswith((".html", ".atom")):
        body = _relink(site, file, address, body.decode()).encode()
    path = site.out / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return len(body)


def _relink(site: _Site, file: str, address: str, text: str) -> str:
    """Make the links of a page relative; remove links to addresses that are not copied."""

    def relative(found: re.Match[str]) -> str:
        name, target = found[1], html.unescape(found[2])
        to, _, anchor = target.partition("#")
        if not to:
            return found[0]
        place = site.file_for(_absolute(address, to))
        if place is None:
            return "" if name == "href" else found[0]
        near = os.path.relpath(place, PurePosixPath(file).parent)
        return f'{name}="{html.escape(near + ("#" + anchor if anchor else ""))}"'

    return _LINK.sub(relative, text)


def _absolute(page: str, address: str) -> str:
    """Complete an address that is only a query with the path of its page."""
    if not address.startswith("?"):
        return address
    path = urlsplit(page).path
    return path if address == "?" else path + address
