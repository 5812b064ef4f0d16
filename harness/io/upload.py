"""Send a stored run to a server, through whatever happens to the line and to the server."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Engine

from fathom.harness.errors import BadInput, FathomError, Unreachable
from fathom.harness.io.parcel import packed, parcel_lines

PATIENCE = 900.0
"""Seconds after which a server that cannot be reached is given up."""

_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_LINK = re.compile(r"/submit/results/[0-9a-f]{1,32}")
_LONGEST = 60.0


@dataclass(frozen=True, slots=True)
class Parcel:
    """A run to be sent; `model` and `sha` replace what the run says of itself."""

    db: Engine
    run: str
    model: str | None = None
    sha: str | None = None

    def pieces(self) -> Iterator[bytes]:
        """Yield the parcel, packed, from its beginning."""
        return packed(parcel_lines(self.db, self.run, model=self.model, sha=self.sha))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server made of a parcel."""

    link: str
    is_new: bool
    n_items: int = 0
    n_right: int = 0
    run: str = ""


Tell = Callable[[str], None]


def send(
    parcel: Parcel, server: str, token: str, tell: Tell = lambda _: None, patience: float = PATIENCE
) -> Answer:  # fmt: skip
    """Send a parcel; a broken line or a server that restarts is waited for, and the parcel sent again whole.

    Raises:
        BadInput: the run is not whole, or the server refused it, with what it said.
        Unreachable: no answer within `patience` seconds.
    """
    for _ in parcel_lines(parcel.db, parcel.run):  # what is wrong with the run itself is said before the first try
        break
    end = time.monotonic() + patience
    headers = {"Content-Type": "application/gzip"} | ({"Authorization": f"Bearer {token}"} if token else {})
    with httpx.Client(base_url=server.rstrip("/"), timeout=httpx.Timeout(30, read=300), headers=headers) as client:
        for attempt in range(1 << 30):
            found = _try(client, parcel)
            if isinstance(found, Answer):
                return found
            pause = min(found.pause or 2.0**attempt, _LONGEST)
            if time.monotonic() + pause > end:
                raise Unreachable(f"{server} does not answer ({found.reason}): try again later; nothing is lost")
            tell(f"{found.reason}; trying again in {pause:.0f} s")
            time.sleep(pause)
    raise AssertionError("unreachable")


@dataclass(frozen=True, slots=True)
class _Later:
    """Why a try came to nothing, and how long the server asks to wait."""

    reason: str
    pause: float = 0.0


def _try(client: httpx.Client, parcel: Parcel) -> Answer | _Later:
    try:
        answer = client.post("/api/v1/results", content=parcel.pieces())
    except httpx.InvalidURL as error:
        raise BadInput(f"--server is no address of a server: {error}") from error
    except httpx.UnsupportedProtocol as error:
        raise BadInput("--server must begin with http:// or https://") from error
    except httpx.TransportError as error:
        return _Later(f"{type(error).__name__}: {error}")
    if answer.status_code in _AGAIN:
        wait = answer.headers.get("Retry-After", "")
        return _Later(f"the server says {_said(answer)}", float(wait) if wait.isdigit() else 0.0)
    if answer.status_code == httpx.codes.CONFLICT and (link := _LINK.search(_said(answer))):
        return Answer(str(client.base_url.join(link[0])), is_new=False)
    if answer.status_code != httpx.codes.CREATED:
        raise BadInput(f"the server refused the results: {_said(answer)}")
    made = _json(answer)
    try:
        page = client.base_url.join(str(made["page"]))
        return Answer(str(page), True, int(made["n_items"]), int(made["n_right"]), str(made["run"]))
    except (KeyError, ValueError, TypeError) as error:
        raise BadInput("the server's answer is not Fathom's: check --server") from error


def _json(answer: httpx.Response) -> dict[str, Any]:  # JSON values
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _said(answer: httpx.Response) -> str:
    return str(_json(answer).get("detail") or f"{answer.status_code} {answer.reason_phrase}")


def read_token(file: Path | None, fallback: str) -> str:
    """Read an API token from a file, or take the fallback.

    Raises:
        BadInput: the file cannot be read, or holds no token.
    """
    if file is None:
        return fallback
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"the token file {file} cannot be read: {error}") from error
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise BadInput(f"the token file {file} holds no token: put the token alone into it")
    return token


def write_file(parcel: Parcel, out: Path) -> int:
    """Write a parcel for the form in the browser; return its bytes.

    Raises:
        BadInput: the run is not whole, or the file cannot be written.
    """
    pieces = parcel.pieces()
    first = next(pieces)
    try:
        with out.open("wb") as stream:
            return stream.write(first) + sum(stream.write(piece) for piece in pieces)
    except FathomError:
        out.unlink(missing_ok=True)
        raise
    except OSError as error:
        raise BadInput(f"cannot write {out}: {error.strerror}") from error
