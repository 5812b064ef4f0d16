"""Turn a browser's form into values, once it is sure that our own page sent it.

A page with a form is filled with `actor=actor`; so it is private, and `server.accounts` hands out the cookie with it.

Three locks: SameSite cookies, the Origin check of `server.accounts`, and a token that only our page can have written:
it is a MAC under the visitor's cookie, which no other site can read.
"""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from fathom.harness.errors import BadInput, NotAllowed
from fathom.server.web.actor import actor_of
from fathom.server.web.bodies import read_body

_MAX_FIELDS = 100


def csrf_of(cookie: str) -> str:
    """Return what forms of this visitor carry; 64 hex digits."""
    return hmac.new(cookie.encode(), b"fathom form", sha256).hexdigest()


def check_csrf(request: Request, sent: str) -> None:
    """Refuse a form that no page of ours has written for this visitor; API tokens need none.

    Raises:
        NotAllowed: the token is missing, another visitor's, or of a login that is over.
    """
    actor = actor_of(request)
    if actor.token_id is not None:
        return
    if not actor.csrf or not hmac.compare_digest(actor.csrf.encode(), sent.encode("utf-8", "surrogatepass")):
        raise NotAllowed("this form is too old, or was not made here: load its page again, then send it")


async def read_form(request: Request) -> Mapping[str, str]:
    """Read and check a form; of a field that is there twice, the last value counts.

    Raises:
        BadInput: no such form.
        TooLarge, TooSlow: see read_body.
        NotAllowed: see check_csrf.
    """
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
"""A route that takes a form declares `form: FormOf`; its page holds `{{ parts.csrf(actor) }}`."""
