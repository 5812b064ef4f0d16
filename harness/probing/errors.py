"""Errors of probing; each says what to do."""

from fathom.harness.errors import BadInput


class NotProbeable(BadInput):
    """The model's states cannot be read: no decoder, no hidden states, or a tokenizer without offsets."""


class BadStates(BadInput):
    """States are not finite."""


class UnknownTarget(BadInput):
    """No probe target with this name."""

    status = 404


class NothingToProbe(BadInput):
    """No target has enough readings of both classes."""
