"""Faults of files and forms in plain words, in place of pydantic's own."""

import re
from collections.abc import Mapping
from typing import Any

_LONGEST_KEY, _LONGEST_VALUE = 80, 60

_WANTED = {
    "int": "a whole number", "float": "a number", "string": "a text", "bool": "true or false", "dict": "a table",
    "list": "a list", "tuple": "a list", "model": "a table", "mapping": "a table", "date": "a date",
    "finite_number": "a finite number", "string_unicode": "a text",
}  # fmt: skip
_BOUNDS = {
    "greater_than": "a number above {gt}", "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}", "less_than_equal": "a number of at most {le}",
    "multiple_of": "a multiple of {multiple_of}", "literal_error": "{expected}",
    "string_too_short": "a text of at least {min_length} characters",
    "string_too_long": "a text of at most {max_length} characters",
    "too_short": "at least {min_length}", "too_long": "at most {max_length}",
}  # fmt: skip


def fault_text(fault: Mapping[str, Any]) -> str:  # JSON-like values, as pydantic gives them
    """Say in plain words what is wrong with a value, from an entry of a pydantic error's `errors()`."""
    place = ".".join(str(part)[:_LONGEST_KEY] for part in fault["loc"])
    kind, message = str(fault["type"]), str(fault["msg"]).removeprefix("Value error, ")
    if kind == "missing":
        return f"{place} is missing"
    if kind == "extra_forbidden":
        return f"{place}: no such key"
    wanted = _BOUNDS.get(kind) or _WANTED.get(re.sub(r"_(type|parsing|from_float|parsing_size)$", "", kind))
    if wanted is None:
        return f"{place}: {message}" if place else message
    said = wanted.format(**fault.get("ctx", {}))
    return f"{place} is {_shown(fault.get('input'))}: give {said}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
