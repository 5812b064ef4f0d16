"""Tiny random models of many architectures: two layers, heads of 32 numbers, a tokenizer of bytes, no network."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

VOCABULARY = 288
"""Rows of the embedding: 3 special tokens, 256 bytes, and some that no text gives, as real models have."""
CONTEXT = 256

_SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 32, "max_position_embeddings": CONTEXT,
    "num_experts": 4, "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "moe_intermediate_size": 64, "shared_expert_intermediate_size": 64, "shared_intermediate_size": 64,
    "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "sliding_window": 64,
}  # fmt: skip
"""Sizes that a config gets if it has a field of that name."""
_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_LATENT = {
    "q_lora_rank": 32, "kv_lora_rank": 512, "qk_nope_head_dim": 32, "qk_rope_head_dim": 64, "v_head_dim": 32,
    "head_dim": 64,
}  # fmt: skip
"""Latent attention (MLA), whose kernels know a cache of 512 + 64 numbers a token only."""
_MIXED = {"layer_types": ["linear_attention", "full_attention"]}
_DELTA = _MIXED | {
    "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_num_key_heads": 2, "linear_num_value_heads": 2,
}  # fmt: skip
_STATE = {
    "mamba_d_state": 16, "mamba_n_heads": 4, "mamba_d_head": 32, "mamba_n_groups": 1, "mamba_chunk_size": 32,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Architecture:
    """An architecture of transformers: its `model_type`, its kind, and the sizes that are its own."""

    name: str
    kind: str
    own: Mapping[str, Any] = field(default_factory=dict)  # fields of a config, of every type
    dtype: str = "float32"
    """Of the weights: vLLM on a CPU runs some architectures in bfloat16 only, as they are published."""


def _plain(kind: str, names: str) -> list[Architecture]:
    return [Architecture(name, kind) for name in names.split()]


ARCHITECTURES = (
    *_plain("dense", "llama mistral ministral qwen2 qwen3 gemma gemma2 gemma3_text phi phi3 stablelm starcoder2"),
    *_plain("dense", "olmo olmo2 olmo3 cohere cohere2 glm glm4 granite nemotron exaone4 smollm3 seed_oss helium"),
    *_plain("dense", "arcee apertus ernie4_5 hunyuan_v1_dense bitnet diffllama nanochat persimmon doge"),
    Architecture("gemma4_text", "dense", {
        "vocab_size_per_layer_input": VOCABULARY, "hidden_size_per_layer_input": 16, "global_head_dim": 32,
        "layer_types": ["sliding_attention", "full_attention"], "num_kv_shared_layers": 0, "enable_moe_block": False,
        "num_experts": None,
    }),
    Architecture("minicpm3", "dense", {**_LATENT, "kv_lora_rank": 32, "qk_rope_head_dim": 32}),
    *_plain("mixture", "mixtral qwen2_moe qwen3_moe olmoe granitemoe phimoe ernie4_5_moe hunyuan_v1_moe"),
    *_plain("mixture", "flex_olmo jetmoe"),
    Architecture("glm4_moe", "mixture", {"head_dim": 32}),
    Architecture("minimax_m2", "mixture", {"rotary_dim": 32, "scoring_func": "sigmoid", "use_routing_bias": True}),
    Architecture("gpt_oss", "mixture", {"rope_parameters": {
        "rope_type": "yarn", "rope_theta": 150000.0, "factor": 2.0, "original_max_position_embeddings": CONTEXT // 2,
        "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False,
    }}),
    Architecture("llama4_text", "mixture", {"intermediate_size_mlp": 128, "num_experts_per_tok": 1}),
    Architecture("deepseek_v2", "mixture", {**_LATENT, "first_k_dense_replace": 1}, "bfloat16"),
    Architecture("deepseek_v3", "mixture", {**_LATENT, "first_k_dense_replace": 1, "topk_method": "noaux_tc"}, "bfloat16"),
    Architecture("dots1", "mixture", {"first_k_dense_replace": 1}),
    Architecture("mamba", "state-space", {"state_size": 16}),
    Architecture("falcon_mamba", "state-space", {"state_size": 16}),
    Architecture("mamba2", "state-space", {"num_heads": 4, "state_size": 16, "n_groups": 1, "chunk_size": 32}),
    Architecture("rwkv", "state-space", {"attention_hidden_size": 64, "context_length": CONTEXT}),
    Architecture("xlstm", "state-space", {"embedding_dim": 64, "num_blocks": 2, "num_heads": 2}),
    Architecture("jamba", "hybrid", {
        "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "mamba_d_state": 16,
        "mamba_dt_rank": 4,
    }),
    Architecture("bamba", "hybrid", {**_STATE, "attn_layer_indices": [1]}),
    Architecture("granitemoehybrid", "hybrid", {**_STATE, **_MIXED}),
    Architecture("falcon_h1", "hybrid", {**_STATE, "mamba_d_ssm": 128}),
    Architecture("nemotron_h", "hybrid", {
        "layers_block_type": ["mamba", "attention"], "mamba_num_heads": 4, "mamba_head_dim": 32, "ssm_state_size": 16,
        "n_groups": 1, "chunk_size": 32,
    }),
    Architecture("zamba2", "hybrid", {
        "layers_block_type": ["linear_attention", "hybrid"], "mamba_d_state": 16, "n_mamba_heads": 4,
        "mamba_headdim": 32, "attention_head_dim": 64, "attention_hidden_size": 128, "adapter_rank": 8,
        "chunk_size": 32,
    }),
    Architecture("lfm2", "hybrid", {"layer_types": ["conv", "full_attention"], "conv_dim": 64, "block_dim": 64}),
    Architecture("lfm2_moe", "hybrid", {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1}),
    Architecture("qwen3_next", "hybrid", _DELTA, "bfloat16"),
    Architecture("qwen3_5_text", "hybrid", _DELTA),
    Architecture("olmo_hybrid", "hybrid", _DELTA),
    Architecture("recurrent_gemma", "hybrid", {
        "lru_width": 64, "attention_window_size": 64, "block_types": ["recurrent", "attention"],
    }),
    *_plain("old", "gpt2 gpt_neox gpt_bigcode bloom falcon mpt openai-gpt biogpt"),
    Architecture("gpt_neo", "old", {"num_layers": 2, "num_heads": 2, "attention_types": [[["global", "local"], 1]]}),
    Architecture("gptj", "old", {"rotary_dim": 16}),
    Architecture("codegen", "old", {"num_attention_heads": 4, "hidden_size": 128, "rotary_dim": 16}),
    Architecture("opt", "old", {"ffn_dim": 128, "word_embed_proj_dim": 64}),
    Architecture("xglm", "old", {"ffn_dim": 128}),
    Architecture("ctrl", "old", {"dff": 128}),
)  # fmt: skip


def make_model(one: Architecture, folder):
    """Write a model with random weights and its tokenizer; return the folder."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    kind = CONFIG_MAPPING[one.name]
    known = {*kind.__dataclass_fields__, *kind.attribute_map}
    config = kind(**{name: size for name, size in _SIZES.items() if name in known} | _TOKENS | dict(one.own))
    torch.manual_seed(1)
    with torch.device("cpu"):
        AutoModelForCausalLM.from_config(config).to(getattr(torch, one.dtype)).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


def make_tokenizer():
    """Make a tokenizer with a token for each byte."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>"]
    words = special + sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({word: at for at, word in enumerate(words)}, []))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>", model_max_length=CONTEXT
    )
