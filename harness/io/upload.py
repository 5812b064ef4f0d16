"""Upload of a stored run to a server; broken connections and server restarts are retried."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine

from fathom.harness.errors import BadInput, FathomError, Unreachable, write_error
from fathom.harness.io.parcel import gzip_lines, parcel_lines, parse_header
from fathom.harness.io.parcel_checks import check_parcel
from fathom.tasks.errors import TaskError

_PATIENCE = 900.0
"""Seconds after which retries to reach a server end."""

_RETRIED = (408, 425, 429, 500, 502, 503, 504)
_LINK = re.compile(r"/submit/results/[0-9a-f]{1,32}")
_MOST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class Parcel:
    """A run to send; `model` and `sha` override the run's own."""

    db: Engine
    run: str
    model: str | None = None
    sha: str | None = None

    def check(self) -> None:
        """Refuse here what every board would refuse.

        Raises:
            BadInput: the run is not complete, or no board would take it.
        """
        lines = parcel_lines(self.db, self.run, model=self.model, sha=self.sha)
        try:
            check_parcel(parse_header(next(lines)))
        except TaskError as error:  # its own exit code is that of a command that generates items
            raise BadInput(f"no board would take this run: {error}") from error

    def pieces(self) -> Iterator[bytes]:
        """Yield the parcel from its beginning, compressed with gzip."""
        return gzip_lines(parcel_lines(self.db, self.run, model=self.model, sha=self.sha))


@dataclass(frozen=True, slots=True)
class UploadResult:
    """The server's answer to a parcel: the page of the results, and the counts of a new run."""

    link: str
    is_new: bool
    n_items: int = 0
    n_right: int = 0
    run: str = ""


_Report = Callable[[str], None]
"""Called with one line about a retry."""


def send_parcel(
    parcel: Parcel, server: str, token: str, report: _Report = lambda _: None, patience: float = _PATIENCE
) -> UploadResult:  # fmt: skip
    """Send a parcel; after a broken connection or a server error, wait and send the whole parcel again.

    Raises:
        BadInput: the run is not complete, or the server refused it; the message has the server's reason.
        Unreachable: no answer within `patience` seconds.
    """
    parcel.check()
    end = time.monotonic() + patience
    headers = {"Content-Type": "application/gzip"} | ({"Authorization": f"Bearer {token}"} if token else {})
    with httpx.Client(base_url=server.rstrip("/"), timeout=httpx.Timeout(30, read=300), headers=headers) as client:
        for attempt in range(1 << 30):
            found = _try(client, parcel)
            if isinstance(found, UploadResult):
                return found
            pause = min(found.pause or 2.0**attempt, _MOST_PAUSE)
            if time.monotonic() + pause > end:
                raise Unreachable(f"{server} does not answer ({found.reason}): try again later; nothing is lost")
            report(f"{found.reason}; trying again in {pause:.0f} s")
            time.sleep(pause)
    raise AssertionError("unreachable")


@dataclass(frozen=True, slots=True)
class _Retry:
    """Why a try failed, and for how many seconds the server asks to wait."""

    reason: str
    pause: float = 0.0


def _try(client: httpx.Client, parcel: Parcel) -> UploadResult | _Retry:
    try:
        answer = client.post("/api/v1/results", content=parcel.pieces())
    except httpx.InvalidURL as error:
        raise BadInput(f"--server is not a valid address ({error}): give http:// or https:// and a host") from error
    except httpx.UnsupportedProtocol as error:
        raise BadInput("--server must begin with http:// or https://") from error
    except httpx.TransportError as error:
        return _Retry(f"{type(error).__name__}: {error}")
    if answer.status_code in _RETRIED:
        wait = answer.headers.get("Retry-After", "")
        return _Retry(f"the server says {_said(answer)}", float(wait) if wait.isdigit() else 0.0)
    if answer.status_code == httpx.codes.CONFLICT and (link := _LINK.search(_said(answer))):
        return UploadResult(str(client.base_url.join(link[0])), is_new=False)
    if answer.status_code != httpx.codes.CREATED:
        raise BadInput(f"the server refused the results: {_said(answer)}")
    made = _json(answer)
    try:
        page = client.base_url.join(str(made["page"]))
        return UploadResult(str(page), True, int(made["n_items"]), int(made["n_right"]), str(made["run"]))
    except (KeyError, ValueError, TypeError) as error:
        raise BadInput("the answer is not from a Fathom server: check --server") from error


def _json(answer: httpx.Response) -> dict[str, Any]:  # JSON values
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _said(answer: httpx.Response) -> str:
    return str(_json(answer).get("detail") or f"{answer.status_code} {answer.reason_phrase}")


def write_parcel(parcel: Parcel, out: Path) -> int:
    """Write a parcel to a file, for the upload form of a server; return its size in bytes.

    Raises:
        BadInput: the run is not complete, no board would take it, or the file cannot be written.
    """
    parcel.check()
    pieces = parcel.pieces()
    first = next(pieces)
    try:
        with out.open("wb") as stream:
            return stream.write(first) + sum(stream.write(piece) for piece in pieces)
    except FathomError:
        out.unlink(missing_ok=True)
        raise
    except OSError as error:
        raise write_error(out, error) from error
