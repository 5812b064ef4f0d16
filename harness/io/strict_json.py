"""Turn bytes from strangers into values: JSON as RFC 8259 has it, of the types that were asked for."""

import json
from collections.abc import Callable
from math import isfinite
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from fathom.harness.errors import BadInput
from fathom.harness.format import visible


class Strict(BaseModel):
    """Base of what is read: no value is turned into another type, and unknown keys are passed over."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


Model = TypeVar("Model", bound=Strict)


def _refuse(constant: str) -> Any:  # never returns
    raise ValueError(f"{constant} is not a JSON number")


def json_object(
    text: bytes, where: str, constant: Callable[[str], Any] = _refuse
) -> dict[str, Any]:  # JSON values; `constant` makes one of NaN and its like
    """Read a JSON object; `where` begins the message.

    Raises:
        BadInput: it is none.
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
        raise ValueError("a key stands twice in one object")
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


def checked(kind: type[Model], found: dict[str, Any], where: str) -> Model:
    """Return JSON values as a value of ours.

    Raises:
        BadInput: one of them is of another type, or missing.
    """
    try:
        return kind.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:200]
        raise BadInput(f"{where}: {place}: {first['msg'][:300]}") from error


_TEXT = 300
"""Characters of a fact of the sender's that are kept."""


def texts(values: object) -> dict[str, str]:
    """Flatten JSON values by two steps into at most forty short, visible texts."""
    found: dict[str, str] = {}
    for key, value in list(values.items())[:40] if isinstance(values, dict) else ():
        if isinstance(value, dict):
            inner = {f"{key} {name}": text for name, text in value.items() if not isinstance(text, dict | list)}
        else:
            inner = {} if isinstance(value, list) else {key: value}
        found |= {visible(str(name))[:_TEXT]: visible(str(text))[:_TEXT] for name, text in list(inner.items())[:40]}
    return dict(list(found.items())[:40])
