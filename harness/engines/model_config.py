"""Facts from the config of a model in transformers, also where it is nested, as in models that see and read."""

from typing import Any

_CONTEXT_NAMES = (
    "max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length", "max_seq_length",
    "n_ctx",
)  # fmt: skip
"""Names under which configs give the context."""
_UNBOUNDED = 1 << 20
"""Context of a model that has no limit of its own, such as a state-space model."""


def context_of(config: Any) -> int:  # Any: a config of transformers
    """Return how many tokens a model reads and writes at most."""
    text = config.get_text_config(decoder=True)
    sizes = [getattr(one, name, None) for one in (text, config) for name in _CONTEXT_NAMES]
    return next((size for size in sizes if isinstance(size, int) and size > 0), _UNBOUNDED)


def bytes_a_token(config: Any, n_bytes: int) -> int:  # Any: a config of transformers
    """Return the bytes that keys and values of a token take, given the bytes of a number; an upper bound."""
    text = config.get_text_config(decoder=True)
    n_layers, width = _number(text, "num_hidden_layers", 32), _number(text, "hidden_size", 4096)
    n_heads = _number(text, "num_attention_heads", 1)
    head = _number(text, "head_dim", max(1, width // n_heads))
    return 2 * n_bytes * n_layers * _number(text, "num_key_value_heads", n_heads) * head


def _number(config: Any, name: str, otherwise: int) -> int:  # Any: a config of transformers
    """Return a number of a config; the largest one where each layer has its own."""
    found = getattr(config, name, None)
    if isinstance(found, (list, tuple)) and found and all(isinstance(one, int) for one in found):
        found = max(found)
    return found if isinstance(found, int) and found > 0 else otherwise
