"""Turn a request into who asks, and say what they may do."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Annotated, Literal

from fastapi import Depends, Request

from fathom.harness.errors import NotAllowed, NotSignedIn

Scope = Literal["read", "submit", "worker", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "submit", "worker", "admin")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: a browser's visitor, a token's owner, or this machine's user.

    `user_id` is None for strangers. `scopes` is what a token allows; a browser's user has all that the role allows.
    """

    user_id: int | None
    name: str
    role: Literal["nobody", "user", "admin"]
    scopes: frozenset[Scope]
    token_id: int | None = None
    login: str = field(default="", repr=False)
    """The browser's cookie, to sign out by; empty for tokens."""
    csrf: str = field(default="", repr=False)
    """What a form of this visitor must carry as `csrf`."""

    @property
    def label(self) -> str:
        """Name in the audit log."""
        return "nobody" if self.user_id is None else f"user/{self.user_id}"

    @property
    def is_admin(self) -> bool:
        """Whether everything is allowed."""
        return self.role == "admin" and "admin" in self.scopes

    def may(self, scope: Scope) -> bool:
        """Say whether this scope was given."""
        return scope in self.scopes

    def owns(self, owner_id: int) -> bool:
        """Say whether something of that owner is this actor's, or any is."""
        return self.is_admin or (self.user_id is not None and self.user_id == owner_id)


NOBODY = Actor(None, "", "nobody", frozenset({"read"}))


def require(actor: Actor, scope: Scope) -> int:
    """Return the actor's user id, or refuse.

    Raises:
        NotSignedIn, NotAllowed: nobody has signed in; the scope was not given.
    """
    if actor.user_id is None:
        raise NotSignedIn("sign in first, or send an API token as `Authorization: Bearer ...`")
    if not actor.may(scope):
        raise NotAllowed(f"this needs the scope {scope!r}: make a token that has it on your page of tokens")
    return actor.user_id


def require_owner(actor: Actor, owner_id: int) -> None:
    """Raise NotAllowed unless the thing is the actor's own, or the actor is an admin."""
    if not actor.owns(owner_id):
        raise NotAllowed("this is somebody else's: only its owner and admins may do this")


def scopes_of(role: str, wanted: Collection[str] = SCOPES) -> frozenset[Scope]:
    """Return which of the wanted scopes a role may have: worker and admin are for admins."""
    allowed = SCOPES if role == "admin" else ("read", "submit")
    return frozenset(scope for scope in allowed if scope in wanted)


def actor_of(request: Request) -> Actor:
    """Return who asks; the middleware of server.accounts has found out."""
    found = request.scope.get("fathom.actor", NOBODY)
    return found if isinstance(found, Actor) else NOBODY


ActorOf = Annotated[Actor, Depends(actor_of)]
