"""The JSON API of accounts: whose token this is."""

from typing import Any

from fastapi import APIRouter
from pydantic import Field

from fathom.server.web.actor import ActorOf, not_signed_in
from fathom.server.web.problems import ApiModel, ApiProblem

router = APIRouter(prefix="/api/v1")

_ANSWERS: dict[int | str, dict[str, Any]] = {  # OpenAPI's JSON
    401: {
        "description": "Not signed in, or the token or key is not known.",
        "content": {"application/problem+json": {"schema": ApiProblem.model_json_schema()}},
    }
}


class MeOut(ApiModel):
    """The user of this request."""

    user: int
    name: str = Field(description="As the sign-in provider states it.")
    role: str = Field(description="user or admin.")
    scopes: list[str] = Field(description="What this token or browser may do.")


@router.get("/me", responses=_ANSWERS)
def send_me(actor: ActorOf) -> MeOut:
    """Return whose token this is, and what it may do."""
    if actor.user_id is None:
        raise not_signed_in(actor)
    return MeOut(user=actor.user_id, name=actor.name, role=actor.role, scopes=sorted(actor.scopes))
