"""Turn a recipe's shape into a model with random weights: Llama, GPT-2, or one that is told no positions."""

import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from fathom.harness.training.recipe import Recipe, Shape


def build_model(shape: Shape, n_tokens: int, end: int) -> Any:  # transformers' models share no useful type
    """Return a new model for `n_tokens` different tokens, of which `end` ends a text. Nothing is dropped out."""
    if shape.kind == "llama":
        return LlamaForCausalLM(_llama(shape, n_tokens, end))
    model = GPT2LMHeadModel(_gpt2(shape, n_tokens, end))
    if shape.kind == "nope":
        # Zero and never trained: so it is a plain GPT-2 folder for whoever loads it, and yet knows no position.
        places = model.transformer.wpe.weight
        places.requires_grad_(False)
        places.data.zero_()
    return model


def describe_shape(shape: Shape) -> str:
    """Say in words what is trained."""
    kinds = {
        "llama": "A Llama (rotary positions)",
        "gpt2": "A GPT-2 (learned absolute positions)",
        "nope": "A GPT-2 whose position embedding is zero and was never trained, so that it knows no positions,",
    }
    return kinds[shape.kind]


def build_optimizer(model: Any, recipe: Recipe) -> torch.optim.Optimizer | None:
    """Return what steps the weights; None leaves it to transformers, which takes AdamW."""
    if recipe.optimizer == "adamw":
        return None
    matrices: list[torch.Tensor] = []
    others: list[torch.Tensor] = []
    for name, weight in model.named_parameters():
        if weight.requires_grad:
            (matrices if weight.ndim == 2 and _BLOCKS.search(name) else others).append(weight)
    return Muon(matrices, others, recipe.learning_rate, recipe.weight_decay)


_BLOCKS = re.compile(r"\.(layers|h)\.\d+\.")
"""Names of weights within a layer, in a Llama and in a GPT-2."""


def _llama(shape: Shape, n_tokens: int, end: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=n_tokens,
        hidden_size=shape.hidden,
        intermediate_size=3 * shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.context,
        initializer_range=shape.init_std,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=end,
        dtype="float32",
    )


def _gpt2(shape: Shape, n_tokens: int, end: int) -> GPT2Config:
    return GPT2Config(
        vocab_size=n_tokens,
        n_positions=shape.context,
        n_embd=shape.hidden,
        n_layer=shape.layers,
        n_head=shape.heads,
        initializer_range=shape.init_std,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=end,
        dtype="float32",
    )


_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) in the precision of the weights, steps as large as AdamW's (Liu et al. 2025).

    torch.optim.Muon computes in bfloat16, which takes 30 times as long on a CPU without it.
    """

    def __init__(self, matrices: Iterable[Tensor], others: Iterable[Tensor], lr: float, decay: float = 0.01) -> None:
        """Take the matrices to step along orthogonal directions, and the other weights."""
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
