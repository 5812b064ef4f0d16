"""Who sends a request, and what they may do."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Literal

from fastapi import Depends, Request

from fathom.harness.errors import NotAllowed, NotSignedIn

Scope = Literal["read", "submit", "worker", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "submit", "worker", "admin")


@dataclass(frozen=True, slots=True)
class Actor:
    """The sender of a request: a visitor in a browser, the owner of a token, or this machine's user.

    `user_id` is None for visitors who have not signed in. `scopes` is what the token allows; in a browser, all that
    the user's role allows.
    """

    user_id: int | None
    name: str
    role: Literal["nobody", "user", "admin"]
    scopes: frozenset[Scope]
    token_id: int | None = None
    login: str = field(default="", repr=False)
    """The browser's login cookie; empty for tokens."""
    csrf: str = field(default="", repr=False)
    """The value that this visitor's forms must send as `csrf`."""
    hint: str = ""
    """How a visitor who may only read is let in, where signing in is not the way."""

    @property
    def label(self) -> str:
        """Name in the audit log."""
        return "nobody" if self.user_id is None else f"user/{self.user_id}"

    @property
    def is_admin(self) -> bool:
        """Whether this is an admin who may use the scope admin."""
        return self.role == "admin" and "admin" in self.scopes

    def may(self, scope: Scope) -> bool:
        """Say whether this scope is allowed."""
        return scope in self.scopes

    def owns(self, owner_id: int) -> bool:
        """Say whether things of that owner belong to this actor; for admins everything does."""
        return self.is_admin or (self.user_id is not None and self.user_id == owner_id)


NOBODY = Actor(None, "", "nobody", frozenset({"read"}))
KEYLESS = Actor(
    None, "", "nobody", frozenset({"read"}),
    hint="this changes something, so it needs the key of this board: open the address that `fathom serve` printed. "
    "Programs send the key as `Authorization: Bearer KEY`; it is in the file beside the database, which ends in .key",
)  # fmt: skip
"""A visitor of a board without accounts who has not shown its key."""
KEY = 0
"""Stands for the number of a token where the board's key itself was sent, or a secret derived from it."""


def require(actor: Actor, scope: Scope) -> int:
    """Return the actor's user id if the scope is allowed.

    Raises:
        NotSignedIn: the visitor has not signed in.
        NotAllowed: the scope is not allowed.
    """
    if actor.user_id is None:
        raise not_signed_in(actor)
    if not actor.may(scope):
        raise NotAllowed(f"this needs the scope {scope!r}: make a token with it on your account page")
    return actor.user_id


def not_signed_in(actor: Actor) -> NotSignedIn:
    """Return the error that tells a visitor how to be let in."""
    return NotSignedIn(actor.hint or "sign in first, or send an API token as `Authorization: Bearer ...`")


def require_owner(actor: Actor, owner_id: int) -> None:
    """Raise NotAllowed unless the actor is the owner or an admin."""
    if not actor.owns(owner_id):
        raise NotAllowed("this belongs to somebody else: only its owner and admins may do this")


def scopes_of(role: str, wanted: Collection[str] = SCOPES) -> frozenset[Scope]:
    """Return those of the wanted scopes that a role may have; worker and admin are for admins only."""
    allowed = SCOPES if role == "admin" else ("read", "submit")
    return frozenset(scope for scope in allowed if scope in wanted)


def actor_of(request: Request) -> Actor:
    """Return the actor that the middleware `Identify` has found."""
    found = request.scope.get("fathom.actor", NOBODY)
    return found if isinstance(found, Actor) else NOBODY


ActorOf = Annotated[Actor, Depends(actor_of)]
