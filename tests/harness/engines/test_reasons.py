"""One line with the true reason, whatever an engine's libraries raise."""

import logging

import pytest
from pydantic import BaseModel, field_validator

from fathom.harness.engines.reasons import LoggedError, reason_from_log, reason_of


class Config(BaseModel):
    size: int
    chunks: bool

    @field_validator("chunks")
    @classmethod
    def check(cls, value):
        if not value:
            raise ValueError("Chunked prefill is required\nfor this model")
        return value


def error_of(work):
    with pytest.raises(Exception) as failure:  # noqa: PT011  # any error: what it says is tested
        work()
    return failure.value


def test_pydantic_names_the_reasons_and_not_their_number():
    error = error_of(lambda: Config(size="x", chunks=False))
    assert str(error).startswith("2 validation errors for Config")
    assert reason_of(error) == (
        "Input should be a valid integer, unable to parse string as an integer; "
        "Chunked prefill is required for this model"
    )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("\n\n  no room \n for it"), "no room"),
        (KeyError("factor"), "KeyError: 'factor'"),
        (AttributeError("'X' object has no attribute 'y'"), "AttributeError: 'X' object has no attribute 'y'"),
        (RuntimeError(""), "RuntimeError"),
        (RuntimeError("x" * 9999), f"RuntimeError: {'x' * 386}…"),
        (RuntimeError("Error raised in subprocess:\nTraceback\n  File\nImportError: no torchvision"), "ImportError: no torchvision"),
        (
            ValueError("Model architectures ['A'] are not supported for now. Supported architectures: dict_keys(['B'])"),
            "Model architectures ['A'] are not supported for now",
        ),
        (
            AttributeError("'_OpNamespace' '_C' object has no attribute 'selective_scan_fwd'"),
            "this build of vLLM has no operation selective_scan_fwd, which the model needs: --engine hf runs it",
        ),
    ],
)  # fmt: skip
def test_other_errors_are_told_in_one_line(error, said):
    assert reason_of(error) == said


def test_an_error_that_refers_to_the_log_is_completed_from_it():
    log = logging.getLogger("library.part")

    def fail(said):
        with reason_from_log("library"):
            try:
                raise ImportError("No module named 'torchvision'")
            except ImportError:
                log.exception("cannot look")
            raise ValueError(said)

    error = error_of(lambda: fail("A failed to be inspected. Please check the logs for more details."))
    assert isinstance(error, LoggedError)
    assert str(error) == "A failed to be inspected: No module named 'torchvision'"
    assert str(error_of(lambda: fail("something else"))) == "something else"
    assert not logging.getLogger("library").handlers
