"""Fathom's own decoder as a class of transformers, which loads it from a saved folder without code from elsewhere.

Only this package knows the class: `register_decoder` makes it known to transformers' Auto classes in a process.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache, GenerationMixin, PreTrainedModel
from transformers import PreTrainedConfig as Config
from transformers import initialization as init
from transformers.masking_utils import create_causal_mask
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from fathom.harness.engines.decoder_blocks import DecoderBlock, Reading, ShortConvolution, turns_at
from fathom.harness.engines.decoder_shape import KERNEL, BodyShape


class FathomDecoderConfig(Config):
    """Sizes and choices of a decoder, under transformers' names; see `decoder_shape.BodyShape`."""

    model_type = "fathom-decoder"

    vocab_size: int = 64
    hidden_size: int = 64
    num_hidden_layers: int = 2
    num_attention_heads: int = 2
    max_position_embeddings: int = 64
    positions: str = "rotary"
    convolutions: str = ""
    qk_norm: bool = False
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True
    use_cache: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None

    @property
    def shape(self) -> BodyShape:
        """Sizes and choices as the blocks take them."""
        positions: Any = self.positions  # one of the three names, or no weights fit
        return BodyShape(
            self.hidden_size, self.num_hidden_layers, self.num_attention_heads, self.max_position_embeddings,
            positions, self.convolutions, self.qk_norm,
        )  # fmt: skip

    @property
    def layer_types(self) -> list[str]:
        """What the cache of a layer keeps: keys and values, or the last inputs of convolutions as well."""
        return ["hybrid" if self.convolutions else "full_attention"] * self.num_hidden_layers

    @property
    def number_of_conv_states(self) -> int:
        """Convolutions of a layer."""
        return len(self.convolutions)


class _LayerMemory:
    """The part of transformers' cache that belongs to a layer."""

    def __init__(self, cache: Any, layer: int) -> None:
        self._cache, self._layer = cache, layer

    def attend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        kept: tuple[Tensor, Tensor] = self._cache.update(key, value, self._layer)
        return kept

    def convolve(self, site: int, state: Tensor) -> Tensor:
        kept: Tensor = self._cache.update_conv_state(
            state.transpose(1, 2), self._layer, state_idx=site, conv_kernel_size=KERNEL
        )
        return kept.transpose(1, 2)


class _Pretrained(PreTrainedModel):
    config: FathomDecoderConfig
    base_model_prefix = "model"
    _supports_sdpa = True
    _no_split_modules = ["DecoderBlock"]  # noqa: RUF012  # transformers' own way

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, ShortConvolution):
            init.zeros_(module.weight)
        else:
            super()._init_weights(module)


class FathomDecoderModel(_Pretrained):
    """The decoder without its output layer."""

    def __init__(self, config: FathomDecoderConfig) -> None:
        super().__init__(config)
        shape = config.shape
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.places = nn.Embedding(shape.context, config.hidden_size) if shape.positions == "learned" else None
        self.layers = nn.ModuleList(DecoderBlock(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(config.hidden_size)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,  # transformers' caches have no useful common type
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        **_: Any,  # options of transformers that change nothing here
    ) -> BaseModelOutputWithPast:
        """Return the normed states of all tokens, of shape (rows, tokens, width)."""
        state: Tensor = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if use_cache and past_key_values is None:
            past_key_values = DynamicCache(config=self.config)
        mask: Any = create_causal_mask(  # a tensor, as SDPA is the only kind of attention here
            config=self.config, inputs_embeds=state, attention_mask=attention_mask,
            past_key_values=past_key_values, position_ids=position_ids,
        )  # fmt: skip
        places = position_ids
        if places is None:
            start = 0 if past_key_values is None else past_key_values.get_seq_length()
            places = torch.arange(start, start + state.shape[1], device=state.device)[None]
        if self.places is not None:
            state = state + self.places(places)
        reading = Reading(self._turns(places), mask, places)
        for at, block in enumerate(self.layers):
            state = block(state, reading, None if past_key_values is None else _LayerMemory(past_key_values, at))
        return BaseModelOutputWithPast(last_hidden_state=self.norm(state), past_key_values=past_key_values)

    def _turns(self, places: Tensor) -> tuple[Tensor, Tensor] | None:
        shape = self.config.shape
        if shape.positions != "rotary":
            return None
        cos, sin = turns_at(places[:, None], shape.width // shape.heads)
        return cos.to(self.dtype), sin.to(self.dtype)


class FathomDecoderForCausalLM(_Pretrained, GenerationMixin):
    """The decoder with its output layer, whose weights are those of the embedding."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012  # transformers' own way

    def __init__(self, config: FathomDecoderConfig) -> None:
        super().__init__(config)
        self.model = FathomDecoderModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Any = None,  # transformers' caches have no useful common type
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **more: Any,  # options of transformers' loss
    ) -> CausalLMOutputWithPast:
        """Return the logits of the last `logits_to_keep` tokens (0: of all), and the loss where there are labels."""
        read = self.model(input_ids, attention_mask, position_ids, past_key_values, inputs_embeds, use_cache)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(read.last_hidden_state[:, kept])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **more)
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=read.past_key_values)


@cache
def register_decoder() -> None:
    """Let transformers' Auto classes load this decoder in this process."""
    AutoConfig.register(FathomDecoderConfig.model_type, FathomDecoderConfig)
    AutoModelForCausalLM.register(FathomDecoderConfig, FathomDecoderForCausalLM)
