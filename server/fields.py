"""Say what the parts of an address may be: types for FastAPI's routes."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator, Field

LARGEST = 2**31 - 1
"""Largest number that a column of ids holds."""


def _blank_is_none(value: Any) -> Any:
    return None if value == "" else value


def _plain(value: str) -> str:
    if not value.isprintable():
        raise ValueError("control characters have no place in an address")
    return value


Open = BeforeValidator(_blank_is_none)  # a form sends the fields that were left open as empty texts
Plain = AfterValidator(_plain)

HEX = re.compile(r"[0-9a-f]{1,32}")
_MODEL = "A model's name, or ~ and its number"

RunPath = Annotated[str, Path(max_length=64, description="A run's id, or a beginning of it that no other has.")]
RunId = Annotated[list[Annotated[str, Field(pattern=f"^{HEX.pattern}$")]], Query(min_length=1, max_length=2)]
ModelPath = Annotated[str, Plain, Path(max_length=400, description=f"{_MODEL}.")]
ModelName = Annotated[Annotated[str, Field(max_length=400), Plain] | None, Open, Query()]
Models = Annotated[
    Sequence[Annotated[str, Field(max_length=400), Plain]], Query(max_length=20, description=f"{_MODEL}; two of them.")
]
SampleFormat = Annotated[Literal["jsonl", "csv"], Path()]
StyleName = Annotated[Annotated[str, Field(max_length=64), Plain] | None, Open, Query()]
Only = Annotated[Literal["first", "second", "neither"] | None, Open, Query()]
Name = Annotated[str, Plain, Query(max_length=64)]
ThemeName = Annotated[Literal["light", "dark"], Query()]
CellId = Annotated[
    Annotated[int, Field(ge=0, le=LARGEST)] | None, Open, Query(description="Number of a cell; open: all cells.")
]
Label = Annotated[Annotated[str, Field(max_length=100)] | None, Open, Query(description="Label of the verdict.")]
Correct = Annotated[Literal["true", "false"] | None, Open, Query(description="Only right answers, or only wrong ones.")]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=1_000_000)]
SampleId = Annotated[int, Path(ge=0, le=2**62, description="Number of a sample.")]
