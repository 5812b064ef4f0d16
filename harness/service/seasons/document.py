"""The document of a season, read from a server, a file or a database."""

import json
from pathlib import Path
from typing import Any

import httpx

from fathom.harness.db.engine import open_database
from fathom.harness.errors import BadInput
from fathom.harness.service.seasons.store import get_season

_LONGEST = 4 << 20
_PATIENCE = 30.0


def read_season_document(name: str, database: str, server: str | None = None) -> dict[str, Any]:
    """Return a season's document from a server, from a file whose name ends with .json, or from a database.

    Raises:
        BadInput: the document cannot be read.
        UnknownSubmission: there is no such season.
    """
    if server is not None:
        return _parsed(_fetch(f"{server.rstrip('/')}/seasons/{name}.json"), server)
    if name.endswith(".json"):
        try:
            return _parsed(Path(name).read_bytes()[:_LONGEST], name)
        except OSError as error:
            raise BadInput(f"cannot read {name}: {error.strerror}") from error
    db = open_database(database, create=False)
    try:
        return get_season(db, name).document()
    finally:
        db.dispose()


def _fetch(address: str) -> bytes:
    try:
        with httpx.stream("GET", address, timeout=_PATIENCE) as answer:
            if answer.status_code != httpx.codes.OK:
                raise BadInput(
                    f"{address} answers {answer.status_code}: is that the board's address and a season of it?"
                )
            body = b""
            for part in answer.iter_bytes():
                body += part
                if len(body) > _LONGEST:
                    raise BadInput(f"{address} sends more than {_LONGEST} bytes, too many for a season")
            return body
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise BadInput(f"cannot reach {address}: {error or type(error).__name__}") from error


def _parsed(body: bytes, source: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{source} does not hold JSON: take /seasons/NAME.json of the board") from error
    if not isinstance(found, dict):
        raise BadInput(f"{source} does not hold a season: take /seasons/NAME.json of the board")
    return found
