"""Tokenizers of corpora, and the encoding of text blocks as token ids."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from fathom.harness.errors import BadMix
from fathom.harness.training.corpora.encoder import EncodeText, piece_splitter, text_encoder
from fathom.harness.training.corpora.folder import write_whole_file
from fathom.harness.training.corpora.mix import Mix, TextSource, mix_vocabulary
from fathom.tasks.corpora.base import Block, TextBlock
from fathom.tasks.tokens import TokenBlock

END_OF_DOCUMENT = "<|end|>"
"""Token at the end of each document of a text form; id 0."""
DEFAULT_VOCABULARY = 4096
"""Tokens of a new tokenizer."""

_SAMPLE_CHARACTERS = 4_000_000
_SAMPLE_BLOCKS = 400
_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


@dataclass(frozen=True)
class CorpusTokenizer:
    """A tokenizer and the token that it puts at the end of a document."""

    backend: Tokenizer
    end: str

    @property
    def end_id(self) -> int:
        """Return the id of the end token."""
        return int(self.backend.token_to_id(self.end) or 0)

    @cached_property
    def dtype(self) -> np.dtype[np.uint16] | np.dtype[np.uint32]:
        """Return the type of an id, low byte first: 2 bytes if all ids fit, else 4; a vocabulary may have gaps."""
        fits = max(self.backend.get_vocab().values()) < 1 << 16
        return np.dtype("<u2") if fits else np.dtype("<u4")

    @cached_property
    def encode(self) -> EncodeText:
        """Return the function from a text to its packed ids."""
        return text_encoder(self.backend, self.dtype)

    @property
    def digest(self) -> str:
        """Return a digest of everything that determines ids."""
        return blake2b(f"{self.backend.to_str()}\n{self.end}".encode(), digest_size=16).hexdigest()


def vocabulary_tokenizer(vocabulary: tuple[str, ...]) -> Tokenizer:
    """Return a tokenizer of tokens separated by white space; unknown tokens become the end token."""
    ids = {token: at for at, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=vocabulary[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([vocabulary[0]])
    return tokenizer


def _text_tokenizer(source: TextSource, size: int) -> Tokenizer:
    """Train a byte-level BPE on text like that of a mix; it encodes any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = piece_splitter()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_OF_DOCUMENT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_sample(source), trainer)
    return tokenizer


def _sample(source: TextSource) -> Iterator[str]:
    left = _SAMPLE_CHARACTERS
    for block in islice(source.specimens(), _SAMPLE_BLOCKS):
        for text in _texts(block):
            yield text
            left -= len(text)
        if left <= 0:
            return


def _texts(block: Block) -> list[str]:
    documents = block.documents if isinstance(block, TextBlock) else ()
    return ["".join(prompt + completion for prompt, completion in pairs) for pairs in documents]


def own_vocabulary(mix: Mix, size: int | None = None, folder: Path | None = None) -> tuple[str, ...]:
    """Return the tokens of a mix of token forms, or an empty tuple for texts.

    Raises:
        BadMix: different vocabularies in one mix; a token form together with a size or a folder.
    """
    vocabulary = mix_vocabulary(mix)
    if vocabulary and (size is not None or folder is not None):
        raise BadMix(
            f"{mix.parts[0].corpus} in this form has a vocabulary of its own, of {len(vocabulary)} tokens: "
            "leave out --vocabulary and --tokenizer"
        )
    return vocabulary


def make_tokenizer(source: TextSource, size: int | None = None, folder: Path | None = None) -> CorpusTokenizer:
    """Return the tokenizer of a mix: that of its token form, of a Hugging Face folder, or a new BPE of `size` tokens.

    Raises:
        BadMix: a folder without a tokenizer or an end token; a token form together with a size or a folder.
    """
    vocabulary = own_vocabulary(source.mix, size, folder)
    if vocabulary:
        return CorpusTokenizer(vocabulary_tokenizer(vocabulary), vocabulary[0])
    if folder is not None:
        return read_tokenizer(folder)
    return CorpusTokenizer(_text_tokenizer(source, size or DEFAULT_VOCABULARY), END_OF_DOCUMENT)


def read_tokenizer(folder: Path) -> CorpusTokenizer:
    """Read the tokenizer of a Hugging Face folder.

    Raises:
        BadMix: it has none, or no end token.
    """
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except Exception as error:  # tokenizers raises bare Exception for files that it cannot read
        raise BadMix(f"{folder} contains no Hugging Face tokenizer ({error})") from error
    end = config.get("eos_token") if isinstance(config, dict) else None
    end = end.get("content") if isinstance(end, dict) else end
    if not isinstance(end, str) or tokenizer.token_to_id(end) is None:
        raise BadMix(f"{folder}: tokenizer_config.json has no eos_token, which each document must end with")
    return CorpusTokenizer(tokenizer, end)


def save_tokenizer(tokenizer: CorpusTokenizer, folder: Path, given: Path | None = None) -> None:
    """Write a folder that transformers' AutoTokenizer loads; a given tokenizer folder is copied."""
    folder.mkdir(parents=True, exist_ok=True)
    if given is not None:
        for name in _FILES:
            if (given / name).exists():
                shutil.copyfile(given / name, folder / name)
        return
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": tokenizer.end,
        "pad_token": tokenizer.end,
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
    }
    write_whole_file(folder / "tokenizer.json", tokenizer.backend.to_str(pretty=True).encode())
    write_whole_file(folder / "tokenizer_config.json", json.dumps(config, indent=1).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class EncodedDocuments:
    """Documents as arrays.

    `ids`: token ids with end tokens, of shape (tokens,); `ends`: the number of tokens up to the end of each document,
    int64 of shape (documents,); `learnt`: whether a token carries loss, of shape (tokens,), None if all do; `texts`:
    the documents' texts, None for token forms.
    """

    ids: NDArray[np.unsignedinteger]
    ends: NDArray[np.int64]
    learnt: NDArray[np.bool_] | None
    texts: list[str] | None

    def first(self, n: int) -> "EncodedDocuments":
        """Return the first `n` documents."""
        at = int(self.ends[n - 1]) if n else 0
        return EncodedDocuments(
            self.ids[:at],
            self.ends[:n],
            None if self.learnt is None else self.learnt[:at],
            None if self.texts is None else self.texts[:n],
        )


def encode_block(block: Block, tokenizer: CorpusTokenizer) -> EncodedDocuments:
    """Encode the documents of a block."""
    return _encode_tokens(block, tokenizer) if isinstance(block, TokenBlock) else _encode_texts(block, tokenizer)


def _encode_tokens(block: TokenBlock, tokenizer: CorpusTokenizer) -> EncodedDocuments:
    ids: NDArray[np.unsignedinteger] = np.frombuffer(block.ids, np.dtype("<u2")).astype(tokenizer.dtype, copy=False)
    learnt = None if block.learnt is None else np.frombuffer(block.learnt, np.uint8) != 0
    return EncodedDocuments(ids, np.array(block.ends, np.int64), learnt, None)


def _encode_texts(block: TextBlock, tokenizer: CorpusTokenizer) -> EncodedDocuments:
    """Encode prompts and completions separately, as an evaluation does."""
    encode, end, size = (
        tokenizer.encode,
        np.array([tokenizer.end_id], tokenizer.dtype).tobytes(),
        tokenizer.dtype.itemsize,
    )
    packed: list[bytes] = []
    ends: list[int] = []
    without_loss: list[tuple[int, int]] = []
    at = 0
    for pairs in block.documents:
        for prompt, completion in pairs:
            if prompt:
                prompt_ids = encode(prompt)
                packed.append(prompt_ids)
                without_loss.append((at, at + len(prompt_ids)))
                at += len(prompt_ids)
            answer = encode(completion)
            packed.append(answer)
            at += len(answer)
        packed.append(end)
        at += size
        ends.append(at)
    learnt = np.ones(at // size, np.bool_) if without_loss else None
    if learnt is not None:
        for began, ended in without_loss:
            learnt[began // size : ended // size] = False
    ids: NDArray[np.unsignedinteger] = np.frombuffer(b"".join(packed), tokenizer.dtype)
    return EncodedDocuments(ids, np.array(ends, np.int64) // size, learnt, _texts(block))
