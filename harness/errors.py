"""Say what stopped us and what to do about it.

FathomError                what the command line prints without a traceback
├── BadInput               exit 2, HTTP 422
│   ├── UnknownModel       no folder, reference model or hub id of that name
│   ├── BrokenModel        a model folder that is corrupt or half-written
│   ├── UnknownSuite       no suite of that name
│   ├── EmptySuite         a selection that leaves nothing to ask
│   ├── UnknownEngine      no engine of that name, or its package is not installed
│   ├── BadRecipe          a training recipe that cannot be followed
│   └── StoreError         the database
│       ├── BadDatabase    a URL that cannot be opened
│       ├── NewerDatabase  written by a newer Fathom
│       ├── OlderDatabase  needs `fathom db upgrade`
│       ├── UnknownRun     no run of that name
│       ├── RunChanged     what is to be resumed is no longer what was started
│       └── DiskFull       nowhere to write; the run can be resumed
└── EngineFailed           exit 3: the engine broke; the run is stored as failed, with its log

Errors about families, levels, seeds and item ids are `tasks.TaskError`; they count as BadInput.
"""


class FathomError(Exception):
    """Base of all; the message says what to do."""

    exit_code = 2
    status = 500


class BadInput(FathomError):
    """What was asked for cannot be done."""

    status = 422


class UnknownModel(BadInput):
    """No model of that name."""

    status = 404


class BrokenModel(BadInput):
    """The model's files cannot be read."""


class UnknownSuite(BadInput):
    """No suite of that name."""

    status = 404


class EmptySuite(BadInput):
    """The selection holds no cell."""


class UnknownEngine(BadInput):
    """No engine of that name here."""


class BadRecipe(BadInput):
    """The recipe cannot be followed."""


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


class EngineFailed(FathomError):
    """The engine broke beyond one request."""

    exit_code = 3
