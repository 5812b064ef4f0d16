"""New models with random weights: Llama, GPT-2, or a GPT-2 without positions."""

from typing import Any

from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from fathom.harness.training.recipe import ModelShape


def build_model(shape: ModelShape, n_tokens: int, end: int) -> Any:  # transformers' models share no useful type
    """Return a new model, without dropout, for a vocabulary of `n_tokens` with the end token `end`."""
    if shape.kind == "llama":
        return LlamaForCausalLM(_llama(shape, n_tokens, end))
    model = GPT2LMHeadModel(_gpt2(shape, n_tokens, end))
    if shape.kind == "nope":
        # Position embeddings of zero that are never trained: a plain GPT-2 for everything that loads it.
        positions = model.transformer.wpe.weight
        positions.requires_grad_(False)
        positions.data.zero_()
    return model


def describe_shape(shape: ModelShape) -> str:
    """Describe the kind of model in words."""
    kinds = {
        "llama": "A Llama (rotary positions)",
        "gpt2": "A GPT-2 (learned absolute positions)",
        "nope": "A GPT-2 without positions (its position embedding is zero and was never trained)",
    }
    return kinds[shape.kind]


def _llama(shape: ModelShape, n_tokens: int, end: int) -> LlamaConfig:
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


def _gpt2(shape: ModelShape, n_tokens: int, end: int) -> GPT2Config:
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
