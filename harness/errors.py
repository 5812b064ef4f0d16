"""Errors that end a command or a request; each message says what went wrong and what to do.

FathomError                the command line prints the message without a traceback
├── BadInput               exit code 2, HTTP 422
│   ├── UnknownModel       no folder, reference model or hub id with this name
│   ├── BrokenModel        the files of a model cannot be read
│   ├── UnknownTask        no lm-eval task with this name, or one that cannot run here
│   ├── UnknownEngine      no engine with this name
│   │   └── NotInstalled   a package that a command or an engine needs is not there
│   ├── BadRunFile         a file of `fathom run` with an error, or one that is there already
│   ├── BadPrices          a file of prices with an error
│   ├── BadRecipe          a training recipe with an error
│   ├── BadMix             settings of training text with an error
│   ├── CorpusChanged      a folder with other files, or with training text of other settings
│   ├── BrokenCorpus       training text that is incomplete or was changed
│   ├── UnknownLaw         no law with this name
│   ├── NotProbeable       a model whose hidden states cannot be read
│   ├── BadStates          hidden states that are no numbers
│   ├── UnknownTarget      no probe target with this name
│   ├── NothingToProbe     too few readings of a class
│   ├── NotPublishable     a result that should not stand on a model's page (harness/io/hub.py)
│   ├── NotComparable      runs that cannot be compared, or a name that fits several
│   ├── StoreError         the database
│   │   ├── BadDatabase    a URL that cannot be opened
│   │   ├── NewerDatabase  written by a newer version of Fathom
│   │   ├── OlderDatabase  needs `fathom db upgrade`
│   │   ├── UnknownRun     no run with this id
│   │   ├── RunChanged     a run to resume that would not be the same run
│   │   └── DiskFull       no space to write; the run can be resumed
│   ├── BadBackup          a backup that is incomplete or was changed
│   ├── BadSubmission      a form with findings, each with its field and the fix
│   └── UnknownSubmission  no submission, job, season or token with this name
├── NotSignedIn            HTTP 401
├── NotAllowed             HTTP 403
├── TooSlow                HTTP 408
├── Conflict               HTTP 409
│   ├── RunBusy            a process runs this run already
│   ├── AlreadySubmitted   the same submission exists
│   └── LeaseLost          another worker has the job
├── TooLarge               HTTP 413
├── TooMany                HTTP 429
├── Busy                   HTTP 503
├── WorkerLost             exit code 2: a process that writes training text was killed
├── Unreachable            exit code 4: a server did not answer in time
└── EngineFailed           exit code 3: the engine failed; the run is stored as failed, with its log
    ├── NoAnswers          exit code 3: every request failed; the message has the most frequent reason
    └── Diverged           exit code 3: the training loss is not a number; the last checkpoint is good

Interrupted is a KeyboardInterrupt with the id of the stopped run: exit code 130.
Errors about families, levels, suites, seeds and item ids are `fathom.tasks.errors.TaskError`; the command line and the
server treat them as BadInput.
"""

import errno
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
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
    "too_short": "at least {min_length} of them", "too_long": "at most {max_length} of them",
}  # fmt: skip


class FathomError(Exception):
    """Base of all errors; the message says what to do."""

    exit_code = 2
    status = 500
    run: str | None = None
    """Id of the run that the error ended, if any."""


class Interrupted(KeyboardInterrupt):
    """The user stopped a run; its samples are stored."""

    def __init__(self, run: str) -> None:
        """Store the id of the run."""
        super().__init__(f"run {run} was stopped")
        self.run = run


class BadInput(FathomError):
    """The input is wrong."""

    status = 422


class UnknownModel(BadInput):
    """No model with this name."""

    status = 404


class BrokenModel(BadInput):
    """The files of the model cannot be read."""


class UnknownTask(BadInput):
    """No lm-eval task with this name, or one that cannot run here."""

    status = 404


class UnknownEngine(BadInput):
    """No engine with this name."""


class NotInstalled(UnknownEngine):
    """A package that a command or an engine needs is not there; the message has the command that installs it."""


class BadRunFile(BadInput):
    """A file of `fathom run` cannot be read, holds what the command does not take, or is there already."""


class BadPrices(BadInput):
    """A file of prices cannot be read, or has an error."""


class BadRecipe(BadInput):
    """The training recipe has an error."""


class BadMix(BadInput):
    """The settings of training text have an error."""


class CorpusChanged(BadInput):
    """The folder contains other files, or training text of other settings."""


class BrokenCorpus(BadInput):
    """The training text is incomplete or was changed."""


class UnknownLaw(BadInput):
    """No law with this name."""

    status = 404


class NotProbeable(BadInput):
    """The model's hidden states cannot be read: no decoder, no blocks, or a tokenizer without offsets."""


class BadStates(BadInput):
    """Hidden states are not finite."""


class UnknownTarget(BadInput):
    """No probe target with this name."""

    status = 404


class NothingToProbe(BadInput):
    """No target has enough readings of both classes."""


class NotComparable(BadInput):
    """The runs cannot be compared, or a name fits several of them."""


class BadBackup(BadInput):
    """The file is not a backup, is incomplete, or was changed."""


class StoreError(BadInput):
    """The database failed."""

    status = 500


class BadDatabase(StoreError):
    """The database cannot be opened."""


class NewerDatabase(StoreError):
    """The database was written by a newer Fathom."""


class OlderDatabase(StoreError):
    """The database needs `fathom db upgrade`."""


class UnknownRun(StoreError):
    """No run with this id."""

    status = 404


class RunChanged(StoreError):
    """The run to resume would not be the same run."""


class DiskFull(StoreError):
    """The disk is full."""


_WRITE_ADVICE = {
    errno.ENAMETOOLONG: "give a shorter --out",
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "give --out a place where you may write"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "a file stands where a folder should be: give another --out"),
    errno.EISDIR: "a folder stands where the file should be: give another --out",
    errno.ENOENT: "give --out a file in a folder that exists",
}


def write_error(path: Path, error: OSError) -> BadInput:
    """Return the error to raise where a file or folder cannot be written, with advice that fits the reason."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"cannot write {path} ({error.strerror}): free some space, or give another --out")
    advice = _WRITE_ADVICE.get(error.errno or 0, "give another --out")
    return BadInput(f"cannot write {path} ({error.strerror or error}): {advice}")


class WorkerLost(FathomError):
    """A process that writes training text was killed."""


class EngineFailed(FathomError):
    """The engine failed, not only one request."""

    exit_code = 3


class NoAnswers(EngineFailed):
    """Every request of a run failed; `log` lists the reasons."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class Diverged(EngineFailed):
    """The training loss is not a number."""


class Unreachable(FathomError):
    """A server did not answer in time."""

    exit_code = 4


class NotSignedIn(FathomError):
    """Nobody is signed in, or the token is unknown."""

    status = 401


class NotAllowed(FathomError):
    """The user may not do this."""

    status = 403


class Conflict(FathomError):
    """The object exists already, or its state does not allow this."""

    status = 409


class AlreadySubmitted(Conflict):
    """The same submission exists; `submission` is its id."""

    def __init__(self, submission: str) -> None:
        super().__init__(f"the same was submitted before, as submission {submission}: /submissions/{submission}")
        self.submission = submission


class RunBusy(Conflict):
    """A process runs this run, so that no other may."""


class LeaseLost(Conflict):
    """The worker does not hold the job any more: it must stop working on it."""


class TooSlow(FathomError):
    """The request body arrives too slowly."""

    status = 408


class TooLarge(FathomError):
    """The request body is too large."""

    status = 413


class TooMany(FathomError):
    """An address or a user has reached a limit."""

    status = 429


class Busy(FathomError):
    """The server is overloaded; try again in a moment."""

    status = 503


class UnknownSubmission(BadInput):
    """No submission, job, season or token with this name."""

    status = 404


@dataclass(frozen=True, slots=True)
class Finding:
    """An error in a form: its field, the problem, and the fix."""

    field: str
    problem: str
    fix: str
    code: str


class BadSubmission(BadInput):
    """A form with errors, all reported at once."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(f"{one.field}: {one.problem} {one.fix}".strip() for one in findings))
        self.findings = tuple(findings)


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
