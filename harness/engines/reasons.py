"""The reason why an engine could not load or run a model, in one line, from what its libraries say."""

import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

_ELSEWHERE = re.compile(r"check the logs|see (the )?(root cause|stack trace|logs?)\b", re.IGNORECASE)
"""An error that does not tell its reason."""
_IN_PROCESS = "Error raised in subprocess:"
_NO_OPERATION = re.compile(r"'_OpNamespace' '\w+' object has no attribute '(\w+)'")
_KNOWN = re.compile(r"\.? *(Supported architectures|Please check the logs).*", re.DOTALL)
_LONGEST = 400
"""Characters of a reason."""


class LoggedError(Exception):
    """What an error does not tell, from the log."""


_PLAIN = (ValueError, RuntimeError, OSError, ImportError, LoggedError)
"""Errors whose text is written for people; that of others needs their names."""


@contextmanager
def reason_from_log(library: str) -> Iterator[None]:
    """Complete an error that refers to the log with the last error that the library logged.

    Raises:
        LoggedError: instead of such an error.
    """
    logged: list[BaseException] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.exc_info and record.exc_info[1]:
                logged.append(record.exc_info[1])

    handler, log = Collector(logging.ERROR), logging.getLogger(library)
    log.addHandler(handler)
    try:
        yield
    except Exception as error:
        if logged and _ELSEWHERE.search(str(error)):
            raise LoggedError(f"{reason_of(error)}: {reason_of(logged[-1])}") from error
        raise
    finally:
        log.removeHandler(handler)


def reason_of(error: BaseException) -> str:
    """Return what an error says, in one line."""
    said = _said(error)
    if missing := _NO_OPERATION.search(said):
        return f"this build of vLLM has no operation {missing[1]}, which the model needs: --engine hf runs it"
    return _shorten(_KNOWN.sub("", said))


def _said(error: BaseException) -> str:
    """Return the telling line of an error: pydantic begins with a number, and a traceback ends with its reason."""
    if isinstance(error, ValidationError):
        return "; ".join(one["msg"].removeprefix("Value error, ") for one in error.errors())
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return f"{type(error).__name__}{_place(error)}"
    if lines[0] == _IN_PROCESS:
        return lines[-1]
    return lines[0] if isinstance(error, _PLAIN) and " " in lines[0] else f"{type(error).__name__}: {lines[0]}"


def _place(error: BaseException) -> str:
    """Return where an error that says nothing was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" in {'/'.join(Path(frames[-1].filename).parts[-3:])}, line {frames[-1].lineno}" if frames else ""


def _shorten(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}…"
