"""New models with random weights: Llama, GPT-2, a GPT-2 without positions, or Fathom's own decoder."""

from typing import Any

from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from fathom.harness.engines.decoder_model import FathomDecoderConfig, FathomDecoderForCausalLM, register_decoder
from fathom.harness.engines.model import find_model
from fathom.harness.engines.model_config import context_of
from fathom.harness.errors import BadRecipe
from fathom.harness.training.recipe import ModelShape, Recipe


def build_model(shape: ModelShape, n_tokens: int, end: int) -> Any:  # transformers' models share no useful type
    """Return a new model, without dropout, for a vocabulary of `n_tokens` with the end token `end`."""
    if shape.kind == "llama":
        return LlamaForCausalLM(_llama(shape, n_tokens, end))
    if shape.kind == "decoder":
        return FathomDecoderForCausalLM(_decoder(shape, n_tokens, end))
    model = GPT2LMHeadModel(_gpt2(shape, n_tokens, end))
    if shape.kind == "nope":
        # Position embeddings of zero that are never trained: a plain GPT-2 for everything that loads it.
        positions = model.transformer.wpe.weight
        positions.requires_grad_(False)
        positions.data.zero_()
    return model


def start_model(recipe: Recipe, tokenizer: Any) -> Any:  # of transformers, as above
    """Return a new model of a recipe, with random weights or those of the model that it names.

    Raises:
        BadRecipe: that model has another shape or another tokenizer.
        UnknownModel, BrokenModel: there is none, or its files are not whole.
    """
    model = build_model(recipe.shape, len(tokenizer), int(tokenizer.eos_token_id))
    if recipe.start is None:
        return model
    folder = find_model(recipe.start).folder()
    register_decoder()
    if AutoTokenizer.from_pretrained(folder).get_vocab() != tokenizer.get_vocab():
        raise BadRecipe(f"from: the text of this recipe has other tokens than {recipe.start}")
    earlier = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    sizes = [{name: tuple(one.shape) for name, one in of.state_dict().items()} for of in (earlier, model)]
    if type(earlier) is not type(model) or sizes[0] != sizes[1] or context_of(earlier.config) != recipe.shape.context:
        raise BadRecipe(f"shape: {recipe.start} has another one; give the kind, sizes and context of its own recipe")
    model.load_state_dict(earlier.state_dict())
    return model


def describe_shape(shape: ModelShape) -> str:
    """Describe the kind of model in words."""
    convolutions = f", short convolutions {shape.convolutions}" if shape.convolutions else ""
    kinds = {
        "decoder": f"Fathom's own decoder ({shape.positions} positions{convolutions}{', QK norm' * shape.qk_norm})",
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


def _decoder(shape: ModelShape, n_tokens: int, end: int) -> FathomDecoderConfig:
    return FathomDecoderConfig(
        vocab_size=n_tokens,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.context,
        positions=shape.positions,
        convolutions=shape.convolutions,
        qk_norm=shape.qk_norm,
        initializer_range=shape.init_std,
        eos_token_id=end,
        pad_token_id=end,
        dtype="float32",
    )
