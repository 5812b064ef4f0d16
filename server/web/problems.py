"""Error pages for people, and problem+json (RFC 9457) for programs."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from fathom.harness.errors import AlreadySubmitted, BadSubmission, Busy, FathomError, fault_text
from fathom.harness.format import shorten, visible
from fathom.server.web.headers import HEADERS
from fathom.server.web.logs import REQUEST_ID, request_id
from fathom.server.web.render import page, site_of
from fathom.tasks.errors import TaskError

_log = logging.getLogger(__name__)


class ApiModel(BaseModel):
    """Base of all JSON answers."""

    model_config = ConfigDict(frozen=True)


class ApiProblem(ApiModel):
    """What went wrong, in the format of RFC 9457."""

    title: str
    status: int
    detail: str


def _beyond_limits(words: str) -> dict[str, Any]:  # OpenAPI's JSON
    return {"description": words, "content": {"application/problem+json": {"schema": ApiProblem.model_json_schema()}}}


LIMIT_ANSWERS: dict[int | str, dict[str, Any]] = {
    400: _beyond_limits("The header Host or Content-Length is malformed."),
    414: _beyond_limits("The address is too long, or has too many parameters."),
    431: _beyond_limits("The request has too many headers, or too long ones."),
}
"""What every address may answer before its page sees the request, for OpenAPI; see limits.py."""

_MOST_FAULTS = 5
"""Faults of one request that are named."""

_FORMS = {
    "^[0-9a-f]{1,32}$": "at most 32 of the signs 0-9 and a-f, as in the links of this board",
    "^[a-z][a-z0-9-]{0,40}$": "small letters, digits and hyphens",
}
"""What the patterns of parameters mean, in words."""

_ADVICE = {
    404: "There is no such page. The board lists all models, and every run has a page.",
    405: "This address can only be read.",
}


def add_problem_pages(app: FastAPI) -> None:
    """Install the handlers that answer every error with a page."""
    app.add_exception_handler(FathomError, _typed)
    app.add_exception_handler(TaskError, _typed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def _typed(request: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, FathomError | TaskError) else 500
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log.error("%s: %s", request.url.path, error)
    answer = answer_problem(request, status, str(error), _details(error))
    if isinstance(error, Busy):
        answer.headers["Retry-After"] = "30"
    return answer


def _details(error: Exception) -> dict[str, Any]:  # JSON values
    """Return the machine-readable part of an error."""
    if isinstance(error, BadSubmission):
        return {"findings": [{name: visible(text) for name, text in asdict(one).items()} for one in error.findings]}
    if isinstance(error, AlreadySubmitted):
        return {"submission": error.submission, "page": f"/submissions/{error.submission}"}
    return {}


async def _invalid(request: Request, error: Exception) -> Response:
    found = error.errors() if isinstance(error, RequestValidationError) else ()
    where = "address" if all(one["loc"][0] in ("path", "query") for one in found) else "request"
    said = "; ".join(map(_parameter_fault, found[:_MOST_FAULTS]))
    return answer_problem(request, 422, f"Something is wrong with the {where}: {said}.")


def _parameter_fault(fault: Mapping[str, Any]) -> str:  # pydantic's own shape
    """Say in plain words what is wrong with a parameter, a header or a part of a body."""
    kind, name = fault["type"], " ".join(shorten(str(part), 40) for part in fault["loc"][1:] if isinstance(part, str))
    if kind == "extra_forbidden":
        return f"there is no parameter {name!r} here"
    if kind == "json_invalid":
        return "the body is not JSON"
    if kind == "string_pattern_mismatch":
        form = _FORMS.get(fault["ctx"]["pattern"], "a name as it stands in the links of this board")
        return f"{name} is {shorten(repr(fault['input']), 60)}: give {form}"
    return fault_text({**fault, "loc": (name,)})


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    answer = answer_problem(request, error.status_code, _ADVICE.get(error.status_code, error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _unexpected(request: Request, _error: Exception) -> Response:
    number = request_id(request.scope)
    answer = answer_problem(
        request,
        500,
        "This is a fault of Fathom, not yours; the server's log says more. Please report it "
        f"with the id of this request: {number}.",
    )
    answer.headers.update(HEADERS | {REQUEST_ID: number})  # this answer passes no middleware
    return answer


def answer_problem(
    request: Request, status: int, message: str, details: Mapping[str, Any] | None = None
) -> Response:  # details: JSON values
    """Answer with an error page, or under /api with problem+json (RFC 9457)."""
    title = HTTPStatus(status).phrase
    if request.url.path.startswith("/api/"):
        body = {"title": title, "status": status, "detail": visible(shorten(message, 600)), **(details or {})}
        return JSONResponse(body, status, media_type="application/problem+json")
    return page(site_of(request), "problem", status, code=status, title=title, message=message)
