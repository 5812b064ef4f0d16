"""Browser forms: their fields, and the proof that one of our own pages sent them.

A page with a form is rendered with `actor=actor`: the page is then private, and the cookie comes with it. Three locks
keep other sites out: SameSite cookies, the Origin check of `accounts/middleware.py`, and a CSRF token, which is a MAC
under the visitor's cookie that no other site can read.
"""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from fathom.harness.errors import BadInput, NotAllowed
from fathom.server.web.actor import actor_of, not_signed_in
from fathom.server.web.bodies import read_body

_MAX_FIELDS = 100


def csrf_of(cookie: str) -> str:
    """Return the CSRF token for a visitor's cookie; 64 hex digits."""
    return hmac.new(cookie.encode(), b"fathom form", sha256).hexdigest()


def check_csrf(request: Request, sent: str) -> None:
    """Refuse a form without this visitor's CSRF token; requests with an API token need none.

    Raises:
        NotAllowed: the CSRF token is missing, or belongs to another visitor or an ended login.
    """
    actor = actor_of(request)
    if actor.token_id is not None:
        return
    if not actor.csrf or not hmac.compare_digest(actor.csrf.encode(), sent.encode("utf-8", "surrogatepass")):
        raise NotAllowed("this form is too old or comes from another site: load its page again, then send it")


async def read_form(request: Request) -> Mapping[str, str]:
    """Read and check a form; where a field comes twice, the last value counts.

    Raises:
        BadInput: the body is not a form.
        TooLarge, TooSlow: as `read_body`.
        NotSignedIn: the visitor has not shown the key of a board without accounts.
        NotAllowed: as `check_csrf`.
    """
    if (actor := actor_of(request)).hint:
        raise not_signed_in(actor)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise BadInput("this address takes a form (application/x-www-form-urlencoded)")
    body = await read_body(request)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError as error:  # UnicodeDecodeError is one
        raise BadInput("this form cannot be read: send it from its page") from error
    values = dict(pairs)
    check_csrf(request, values.pop("csrf", ""))
    return values


FormOf = Annotated[Mapping[str, str], Depends(read_form)]
"""A route with a form declares `form: FormOf`; its page contains `{{ parts.csrf(actor) }}`."""
