"""Turn text into token ids through a table of its words: six times as fast as the tokenizer, to the same ids."""

import json
import re
from collections.abc import Callable

import numpy as np
from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers.pre_tokenizers import PreTokenizer

# A word or a number with the blank before it; any other character alone. So what follows a word never changes its
# tokens, and a prompt and its completion read the same apart and together.
_PIECE = Regex(r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]|\s")
_ASCII_PIECE = re.compile(r" ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]|\s", re.ASCII)
_MOST = 200_000
"""Words that a table holds, some 30 MB; beyond, it begins anew."""

Code = Callable[[str], bytes]
"""Return the ids of a text, packed, low byte first."""


def piecewise() -> PreTokenizer:
    """Return what cuts text into pieces, each of which has tokens of its own."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_PIECE, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def coder(tokenizer: Tokenizer, dtype: "np.dtype[np.uint16] | np.dtype[np.uint32]") -> Code:
    """Return what packs a text's ids; through a table where the tokenizer cuts as `piecewise` does."""

    def ask(text: str) -> bytes:
        (coded,) = tokenizer.encode_batch_fast([text], add_special_tokens=False)
        return np.array(coded.ids, dtype).tobytes()

    facts = json.loads(tokenizer.to_str())
    ours = Tokenizer.from_str(tokenizer.to_str())
    ours.pre_tokenizer = piecewise()
    marks = tuple(str(token["content"]) for token in facts["added_tokens"])
    if facts["normalizer"] is not None or json.loads(ours.to_str())["pre_tokenizer"] != facts["pre_tokenizer"]:
        return ask
    table = _Table(ask)
    find = _ASCII_PIECE.findall

    def look(text: str) -> bytes:
        if not text.isascii() or any(mark in text for mark in marks):
            return ask(text)
        if len(table) > _MOST:
            table.clear()
        return b"".join(map(table.__getitem__, find(text)))

    return look


class _Table(dict[str, bytes]):
    """Pieces with their ids, filled as they are met."""

    def __init__(self, ask: Code) -> None:
        super().__init__()
        self._ask = ask

    def __missing__(self, piece: str) -> bytes:
        self[piece] = self._ask(piece)
        return self[piece]
