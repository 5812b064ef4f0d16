"""Optimizers: AdamW of transformers, or Muon."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from fathom.harness.training.recipe import Recipe

_BLOCKS = re.compile(r"\.(layers|h)\.\d+\.")
"""In names of weights within a layer, of a Llama, a GPT-2 and Fathom's own decoder."""
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic Newton-Schulz iteration."""


def build_optimizer(model: Any, recipe: Recipe) -> torch.optim.Optimizer | None:
    """Return a recipe's optimizer; None for AdamW, which transformers sets up itself."""
    if recipe.optimizer == "adamw":
        return None
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            (matrices if weight.ndim == 2 and _BLOCKS.search(name) else others).append(weight)
    return Muon(matrices, others, recipe.learning_rate, recipe.weight_decay)


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) in the precision of the weights, with steps scaled to AdamW's size (Liu et al. 2025).

    torch.optim.Muon computes in bfloat16, which is 30 times slower on a CPU without support for it.
    """

    def __init__(self, matrices: Iterable[Tensor], others: Iterable[Tensor], lr: float, decay: float = 0.01) -> None:
        """Take the matrices, which get orthogonalized steps, and the other weights, which get AdamW's."""
        groups = [{"params": list(matrices), "muon": True}, {"params": list(others), "muon": False}]
        super().__init__(groups, {"lr": lr, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]  # no loss comes back
        """Take one step."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                weight.mul_(1 - group["lr"] * group["decay"])
                step = _orthogonal if group["muon"] else _adam
                weight.sub_(step(weight.grad, self.state[weight]), alpha=group["lr"])


def _orthogonal(gradient: Tensor, state: dict[str, Any]) -> Tensor:
    """Return momentum with all singular values near 1, scaled to the root mean square 0.2."""
    momentum = state.setdefault("momentum", torch.zeros_like(gradient))
    momentum.lerp_(gradient, 0.05)
    step = gradient.lerp(momentum, 0.95)
    wide = step.shape[0] <= step.shape[1]
    step = step if wide else step.T
    step = step / (step.norm() + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(5):
        square = step @ step.T
        step = a * step + (b * square + c * square @ square) @ step
    scaled: Tensor = (step if wide else step.T) * (0.2 * max(step.shape) ** 0.5)
    return scaled


def _adam(gradient: Tensor, state: dict[str, Any]) -> Tensor:
    if not state:
        state.update(n=torch.zeros(()), mean=torch.zeros_like(gradient), square=torch.zeros_like(gradient))
    state["n"] += 1
    n = float(state["n"])
    state["mean"].lerp_(gradient, 0.1)
    state["square"].lerp_(gradient.square(), 0.02)
    step: Tensor = state["mean"] / (1 - 0.9**n) / ((state["square"] / (1 - 0.98**n)).sqrt() + 1e-8)
    return step
