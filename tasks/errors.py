"""Errors of the package: a request that names something unknown or invalid.

TaskError
├── UnknownFamily   no such family
├── UnknownLevel    the family has no such level
├── UnknownStyle    the family has no such channel or style
├── UnknownCorpus   no such corpus
├── UnknownSuite    no such suite
├── EmptySuite      a selection without any cell
├── MixedSuite      a selection of families that are ranked apart
├── BadOption       a corpus setting that is unknown, out of range, or does not fit the others
├── BadSeed         neither a whole number >= 0 nor a hex string
└── BadItemId       not of the form family@version/level/channel/seed/index
"""


class TaskError(ValueError):
    """Invalid input; the message says what to do."""

    status = 422


class UnknownFamily(TaskError):
    """No family of that name."""

    status = 404


class UnknownLevel(TaskError):
    """The family has no level of that name."""

    status = 404


class UnknownStyle(TaskError):
    """The family has no channel or style of that name."""

    status = 404


class UnknownCorpus(TaskError):
    """No corpus of that name."""

    status = 404


class BadOption(TaskError):
    """A setting that a corpus does not accept."""


class BadSeed(TaskError):
    """A text or number that is not a seed."""


class BadItemId(TaskError):
    """A text that is not the id of an item."""


class UnknownSuite(TaskError):
    """No suite of that name."""

    status = 404


class EmptySuite(TaskError):
    """A selection without any cell."""


class MixedSuite(TaskError):
    """A selection of families that are ranked apart: ours and a package's, or those of two packages."""
