"""Turn a recipe's shape into a model with random weights: Llama, GPT-2, or one that is told no positions."""

import re
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from harness.muon import Muon
from harness.recipe import Recipe, Shape


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
