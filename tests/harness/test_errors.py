"""Faults of a pydantic model in plain words."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fathom.harness.errors import fault_text


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    steps: Annotated[int, Field(gt=0, le=9)] = 1
    kind: Literal["llama", "gpt2"] = "llama"
    rate: float = 1.0
    names: tuple[str, ...] = ()
    inner: "Table | None" = None
    name: str = "x"


CASES = {
    "steps is 'many': give a whole number": {"steps": "many"},
    "steps is 1.5: give a whole number": {"steps": 1.5},
    "steps is 0: give a number above 0": {"steps": 0},
    "steps is 10: give a number of at most 9": {"steps": 10},
    "kind is 'bert': give 'llama' or 'gpt2'": {"kind": "bert"},
    "rate is inf: give a finite number": {"rate": float("inf")},
    "names is 'a': give a list": {"names": "a"},
    "inner.name is 7: give a text": {"inner": {"name": 7}},
    "inner is 3: give a table": {"inner": 3},
    "stepz: no such key": {"stepz": 3},
}


@pytest.mark.parametrize("said", CASES)
def test_a_fault_says_what_to_give(said):
    with pytest.raises(ValidationError) as caught:
        Table.model_validate(CASES[said])
    assert [fault_text(one) for one in caught.value.errors()] == [said]


def test_a_long_value_is_cut():
    with pytest.raises(ValidationError) as caught:
        Table.model_validate({"steps": "x" * 10_000})
    assert len(fault_text(caught.value.errors()[0])) < 120
