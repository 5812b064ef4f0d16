"""Fast encoding of texts to packed token ids, with a table of the pieces that were encoded before."""

import json
import re
from collections.abc import Callable

import numpy as np
from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers.pre_tokenizers import PreTokenizer

EncodeText = Callable[[str], bytes]
"""Returns the ids of a text, packed, low byte first."""

# A word or a number with the blank before it; any other character alone. So the text after a word never changes its
# tokens, and a prompt and its completion have the same tokens apart and together.
_PIECE = Regex(r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]|\s")
_ASCII_PIECE = re.compile(r" ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]|\s", re.ASCII)
_MAX_PIECES = 200_000
"""Pieces in a table, some 30 MB; a full table is cleared."""


def piece_splitter() -> PreTokenizer:
    """Return the pre-tokenizer that cuts text into words, numbers and single characters."""
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_PIECE, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def text_encoder(tokenizer: Tokenizer, dtype: "np.dtype[np.uint16] | np.dtype[np.uint32]") -> EncodeText:
    """Return a function that encodes texts; it uses a table if the tokenizer's pre-tokenizer is `piece_splitter`."""

    def encode(text: str) -> bytes:
        (encoded,) = tokenizer.encode_batch_fast([text], add_special_tokens=False)
        return np.array(encoded.ids, dtype).tobytes()

    settings = json.loads(tokenizer.to_str())
    split_in_pieces = Tokenizer.from_str(tokenizer.to_str())
    split_in_pieces.pre_tokenizer = piece_splitter()
    if settings["normalizer"] is not None or tokenizer.to_str() != split_in_pieces.to_str():
        return encode
    special = tuple(str(token["content"]) for token in settings["added_tokens"])
    table = _PieceTable(encode)
    find = _ASCII_PIECE.findall

    def encode_by_table(text: str) -> bytes:
        if not text.isascii() or any(token in text for token in special):
            return encode(text)
        if len(table) > _MAX_PIECES:
            table.clear()
        return b"".join(map(table.__getitem__, find(text)))

    return encode_by_table


class _PieceTable(dict[str, bytes]):
    """Packed ids by piece; a missing piece is encoded."""

    def __init__(self, encode: EncodeText) -> None:
        super().__init__()
        self._encode = encode

    def __missing__(self, piece: str) -> bytes:
        self[piece] = self._encode(piece)
        return self[piece]
