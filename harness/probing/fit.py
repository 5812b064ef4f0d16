"""Linear probes: ridge regression in closed form, from states to embeddings, classes, or yes and no.

One eigendecomposition of the states serves every penalty, variable, shuffled label and control: a probe is then two
matrix products. The penalty and the scale of probabilities are chosen on a fifth of the items to fit, never on those to
test. States of more than MOST_DIRECTIONS dimensions are first projected to their principal directions.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MOST_DIRECTIONS = 256
"""Principal directions of wide states that are kept."""
_WIDE = 512
"""Dimensions above which states are projected."""
PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Ridge penalties, relative to the mean variance of a standardised dimension times the number of readings."""
_SCALES = tuple(float(scale) for scale in np.geomspace(0.05, 500, 28))
"""Factors between scores and logits."""
_TINY = 1e-6


@dataclass(frozen=True, slots=True)
class Rotated:
    """Standardised states of readings in the principal directions of those to fit: [reading, direction]."""

    fit: torch.Tensor
    other: torch.Tensor
    sizes: torch.Tensor
    """Sum of squares of each direction over the readings to fit."""


@dataclass(frozen=True, slots=True)
class Basis:
    """States, ready for any probe: `inner` leaves the check fifth out of the fit, `whole` predicts test readings."""

    inner: Rotated
    whole: Rotated
    directions: torch.Tensor
    """Principal directions of the standardised states: [width, direction]."""
    mean: torch.Tensor
    scale: torch.Tensor


def prepare(fit: Floats, test: Floats, is_check: NDArray[np.bool_], device: str = "cpu", project: bool = True) -> Basis:
    """Standardise and rotate states.

    Args:
        fit: states of the readings to fit, [reading, width].
        test: states of the readings to test.
        is_check: which of the readings to fit choose the penalty; both kinds must occur.
        device: where to compute.
        project: whether wide states are projected to MOST_DIRECTIONS.
    """
    states, others = (torch.from_numpy(np.ascontiguousarray(one)).to(device).double() for one in (fit, test))
    mean, scale = states.mean(0), states.std(0) + _TINY
    states, others = (states - mean) / scale, (others - mean) / scale
    held = torch.from_numpy(is_check).to(device)
    kept = MOST_DIRECTIONS if project and states.shape[1] > _WIDE else states.shape[1]
    whole, directions = _rotate(states, others, kept)
    inner, _ = _rotate(states[~held], states[held], kept)
    return Basis(inner, whole, directions, mean, scale)


def _rotate(fit: torch.Tensor, other: torch.Tensor, kept: int) -> tuple[Rotated, torch.Tensor]:
    sizes, directions = torch.linalg.eigh(fit.T @ fit)
    sizes, directions = sizes[-kept:].clamp(min=0), directions[:, -kept:]
    return Rotated((fit @ directions).float(), (other @ directions).float(), sizes.float()), directions


def predict(one: Rotated, targets: torch.Tensor, penalty: float) -> torch.Tensor:
    """Fit targets [fit reading, output] and return their predictions for the other readings: [reading, output]."""
    centre = targets.mean(0)
    return one.other @ solve(one, targets - centre, penalty) + centre


def solve(one: Rotated, targets: torch.Tensor, penalty: float) -> torch.Tensor:
    """Return the ridge coefficients of centred targets: [direction, output]."""
    strength = penalty * one.fit.shape[0]
    return (one.fit.T @ targets) / (one.sizes + strength)[:, None]


def choose_penalty(one: Rotated, targets: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return the penalty with the least squared error on the check readings; of equals the largest."""
    errors = [float(((predict(one, targets, penalty) - wanted) ** 2).sum()) for penalty in PENALTIES]
    return PENALTIES[max(at for at, error in enumerate(errors) if error <= min(errors) * (1 + 1e-6))]


def choose_scale(scores: torch.Tensor, labels: torch.Tensor, prior: torch.Tensor) -> float:
    """Return the factor with which scores [reading, option] plus log prior give the least cross-entropy of labels."""
    losses = [float(nats(scores, labels, prior, scale)) for scale in _SCALES]
    return _SCALES[int(np.argmin(losses))]


def nats(scores: torch.Tensor, labels: torch.Tensor, prior: torch.Tensor, scale: float) -> torch.Tensor:
    """Return the mean cross-entropy of labels in nats; a score of minus infinity is no option."""
    return torch.nn.functional.cross_entropy(scores * scale + prior, labels)
