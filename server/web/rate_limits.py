"""Rate limits: counts in the database of how often an address or a user does something."""

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
"""Seconds after which counts are deleted; no window is longer than half of this."""


def count_use(db: Engine, key: str, limit: int, seconds: int, now: Callable[[], float] = time.time) -> None:
    """Count one more use of `key` in the current window of `seconds`.

    Raises:
        TooMany: more than `limit` uses in this window; the message says how long to wait.
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


def delete_old_limits(db: Engine) -> int:
    """Delete counts of past windows; return how many. A background task."""
    with translate_errors(), Session(db) as session, session.begin():
        old = delete(LimitRow).where(LimitRow.window < int(time.time()) - _KEPT).returning(LimitRow.n)
        return len(session.scalars(old).all())


def network_key(address: str) -> str:
    """Return the part of an address that is counted: a whole IPv4 address, or the /64 network of an IPv6 address."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if found.version == 6 and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


def visitor_address(scope: Scope, proxies: tuple[str, ...]) -> str:
    """Return the visitor's address; X-Forwarded-For is believed only from `proxies`.

    The last entry of X-Forwarded-For that is not one of our proxies is what our outermost proxy saw.
    """
    peer: str = (scope.get("client") or ("", 0))[0]
    if peer not in proxies:
        return peer
    forwarded = Headers(scope=scope).getlist("x-forwarded-for")
    for hop in reversed([part.strip() for line in forwarded for part in line.split(",")]):
        if hop not in proxies:
            return hop
    return peer
