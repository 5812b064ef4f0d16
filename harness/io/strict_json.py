"""Strict reading of JSON (RFC 8259) from untrusted sources into typed values."""

import json
from collections.abc import Callable
from math import isfinite
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from fathom.harness.errors import BadInput, fault_text
from fathom.harness.format import visible


class StrictModel(BaseModel):
    """Base of values read from JSON: no type conversion; unknown keys are ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


_Model = TypeVar("_Model", bound=StrictModel)


def _refuse(constant: str) -> Any:  # never returns
    raise ValueError(f"{constant} is not a JSON number")


def parse_object(text: bytes, where: str, constant: Callable[[str], Any] = _refuse) -> dict[str, Any]:  # JSON values
    """Parse a JSON object; `where` begins the error message, `constant` replaces NaN and Infinity.

    Raises:
        BadInput: not UTF-8, not JSON, not an object, a repeated key, or a number out of range.
    """
    try:
        found = json.loads(
            text.decode("utf-8"), object_pairs_hook=_once, parse_constant=constant, parse_float=_finite,
            parse_int=_whole,
        )  # fmt: skip
    except UnicodeDecodeError as error:
        raise BadInput(f"{where} is not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise BadInput(f"{where} is nested too deeply") from error
    except ValueError as error:
        raise BadInput(f"{where} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise BadInput(f"{where} is not a JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:  # JSON values
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found


def _finite(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise ValueError("a number is too large")
    return number


def _whole(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError("a number is too large")
    return int(digits)


def validate(kind: type[_Model], found: dict[str, Any], where: str) -> _Model:
    """Return JSON values as a value of type `kind`; `where` begins the error message.

    Raises:
        BadInput: a field is missing or has another type.
    """
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise BadInput(f"{where}: {fault_text(first)[:500]}") from error


MOST_CHARACTERS = 300
"""Characters kept of a text that a sender reports."""


def flat_texts(values: object) -> dict[str, str]:
    """Flatten two levels of JSON objects into at most 40 short texts without control characters."""
    found: dict[str, str] = {}
    for key, value in list(values.items())[:40] if isinstance(values, dict) else ():
        if isinstance(value, dict):
            inner = {f"{key} {name}": text for name, text in value.items() if not isinstance(text, dict | list)}
        else:
            inner = {} if isinstance(value, list) else {key: value}
        found |= {
            visible(str(name))[:MOST_CHARACTERS]: visible(str(text))[:MOST_CHARACTERS]
            for name, text in list(inner.items())[:40]
        }
    return dict(list(found.items())[:40])
