"""Count in the database how often an address or a user does something, and refuse beyond a limit."""

import ipaddress
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine, delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session
from starlette.datastructures import Headers
from starlette.types import Scope

from fathom.harness.db.engine import translate_errors
from fathom.harness.db.schema.service import LimitRow
from fathom.harness.errors import TooMany

_KEPT = 2 * 86_400
"""Seconds after which counts are forgotten; no window is longer than half of it."""


def spend(db: Engine, key: str, limit: int, seconds: int, now: Callable[[], float] = time.time) -> None:
    """Count one more of `key` in the present window of `seconds`.

    Raises:
        TooMany: more than `limit` in this window; the message says for how long.
    """
    window = int(now()) // seconds * seconds
    dialect: Any = postgresql if db.dialect.name == "postgresql" else sqlite  # each has an Insert of its own
    row = dialect.insert(LimitRow).values(key=key, window=window, n=1)
    counted = row.on_conflict_do_update(index_elements=["key", "window"], set_={"n": LimitRow.n + 1})
    with translate_errors(), Session(db) as session, session.begin():
        n = session.scalars(counted.returning(LimitRow.n)).one()
    if n > limit:
        wait = max(1, round((window + seconds - now()) / 60))
        raise TooMany(f"the limit is {limit} times in {seconds // 60} minutes: try again in {wait} minutes")


def prune_limits(db: Engine) -> int:
    """Forget windows that are over; a chore."""
    with translate_errors(), Session(db) as session, session.begin():
        old = delete(LimitRow).where(LimitRow.window < int(time.time()) - _KEPT).returning(LimitRow.n)
        return len(session.scalars(old).all())


def bucket(address: str) -> str:
    """Return what of an address is counted: an IPv4 address, or the /64 network that one holder of IPv6 has."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if found.version == 6 and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


def address_of(scope: Scope, proxies: tuple[str, ...]) -> str:
    """Return the visitor's address; what a proxy says of it is believed only of the proxies that are named.

    The last entry of X-Forwarded-For that is no proxy of ours is the one that our outermost proxy saw.
    """
    peer: str = (scope.get("client") or ("", 0))[0]
    if peer not in proxies:
        return peer
    forwarded = Headers(scope=scope).getlist("x-forwarded-for")
    for hop in reversed([part.strip() for line in forwarded for part in line.split(",")]):
        if hop not in proxies:
            return hop
    return peer
