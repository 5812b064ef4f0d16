"""Say what stopped us and what to do about it.

FathomError                what the command line prints without a traceback
├── BadInput               exit 2, HTTP 422
│   ├── UnknownModel       no folder, reference model or hub id of that name
│   ├── BrokenModel        a model folder that is corrupt or half-written
│   ├── UnknownTask        no lm-eval task of that name, or one that cannot be run here
│   ├── UnknownEngine      no engine of that name, or its package is not installed
│   ├── BadRecipe          a training recipe that cannot be followed
│   ├── BadMix             training text that cannot be written as it is asked for
│   ├── CorpusChanged      a folder that holds other files, or training text of other settings
│   ├── BrokenCorpus       training text that is not whole or was changed
│   ├── UnknownLaw         no law of that name
│   ├── NotComparable      runs that no test compares, or names that leave open which are meant
│   ├── StoreError         the database
│   │   ├── BadDatabase    a URL that cannot be opened
│   │   ├── NewerDatabase  written by a newer Fathom
│   │   ├── OlderDatabase  needs `fathom db upgrade`
│   │   ├── UnknownRun     no run of that name
│   │   ├── RunChanged     what is to be resumed is no longer what was started
│   │   └── DiskFull       nowhere to write; the run can be resumed
│   ├── BadBackup          a backup that is cut short or was changed
│   ├── BadSubmission      a form with findings, each with its field and the fix
│   └── UnknownSubmission  no submission, job, season or token of that name
├── NotSignedIn, NotAllowed, TooSlow, Conflict (LeaseLost, AlreadySubmitted), TooLarge, TooMany, Busy
│                          HTTP 401, 403, 408, 409, 413, 429, 503
├── WorkerLost             exit 2: a process that wrote training text was killed
├── Unreachable            exit 4: a server did not answer in time
└── EngineFailed           exit 3: the engine broke; the run is stored as failed, with its log
    └── Diverged           exit 3: the loss of a training is no longer a number; the last checkpoint is good

Interrupted is a KeyboardInterrupt that names the run that it stopped: exit 130.
Errors about families, levels, suites, seeds and item ids are `TaskError`s of fathom.tasks; they count as BadInput.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class FathomError(Exception):
    """Base of all; the message says what to do."""

    exit_code = 2
    status = 500
    run: str | None = None
    """Run that it ended, where it ended one."""


class Interrupted(KeyboardInterrupt):
    """The user stopped a run, whose samples are stored."""

    def __init__(self, run: str) -> None:
        """Name the run."""
        super().__init__(f"run {run} was stopped")
        self.run = run


class BadInput(FathomError):
    """What was asked for cannot be done."""

    status = 422


class UnknownModel(BadInput):
    """No model of that name."""

    status = 404


class BrokenModel(BadInput):
    """The model's files cannot be read."""


class UnknownTask(BadInput):
    """No lm-eval task of that name, or one that cannot be run here."""

    status = 404


class UnknownEngine(BadInput):
    """No engine of that name here."""


class BadRecipe(BadInput):
    """The recipe cannot be followed."""


class BadMix(BadInput):
    """Training text that cannot be written as it is asked for."""


class CorpusChanged(BadInput):
    """The folder holds other files, or training text of other settings."""


class BrokenCorpus(BadInput):
    """Training text that is not whole, or was changed."""


class UnknownLaw(BadInput):
    """No law of that name."""

    status = 404


class NotComparable(BadInput):
    """No test compares these runs, or it is not clear which are meant."""


class BadBackup(BadInput):
    """A backup that is cut short, was changed, or is no backup."""


class StoreError(BadInput):
    """The database refused."""

    status = 500


class BadDatabase(StoreError):
    """The database cannot be opened."""


class NewerDatabase(StoreError):
    """The database was written by a newer Fathom."""


class OlderDatabase(StoreError):
    """The database needs `fathom db upgrade`."""


class UnknownRun(StoreError):
    """No run of that name."""

    status = 404


class RunChanged(StoreError):
    """The run to resume would no longer be the same run."""


class DiskFull(StoreError):
    """The disk is full."""


class WorkerLost(FathomError):
    """A process that wrote training text was killed."""


class EngineFailed(FathomError):
    """The engine broke beyond one request."""

    exit_code = 3


class Diverged(EngineFailed):
    """The loss of a training is no longer a number."""


class Unreachable(FathomError):
    """A server did not answer in time."""

    exit_code = 4


class NotSignedIn(FathomError):
    """Nobody has signed in, or the token is not known."""

    status = 401


class NotAllowed(FathomError):
    """Whoever asks may not do this."""

    status = 403


class Conflict(FathomError):
    """It is there already, or no longer in the state that this needs."""

    status = 409


class AlreadySubmitted(Conflict):
    """The same stands here; `submission` is its id."""

    def __init__(self, submission: str) -> None:
        super().__init__(f"the same was submitted before, as submission {submission}: /submissions/{submission}")
        self.submission = submission


class LeaseLost(Conflict):
    """Another worker has the job now, or nobody: stop working on it."""


class TooSlow(FathomError):
    """What is sent takes too long to come."""

    status = 408


class TooLarge(FathomError):
    """More bytes than are taken."""

    status = 413


class TooMany(FathomError):
    """An address or a user has used up a limit."""

    status = 429


class Busy(FathomError):
    """Too much is going on; try again in a moment."""

    status = 503


class UnknownSubmission(BadInput):
    """No submission, job, season or token of that name."""

    status = 404


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a form: its field, what is wrong, and the fix."""

    field: str
    problem: str
    fix: str
    code: str


class BadSubmission(BadInput):
    """A form with findings, all of them at once."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        super().__init__("; ".join(f"{one.field}: {one.problem} {one.fix}".strip() for one in findings))
        self.findings = tuple(findings)
