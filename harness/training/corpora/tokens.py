"""Turn a mix into its tokenizer, a tokenizer into a Hugging Face folder, and blocks into token ids."""

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
from fathom.harness.training.corpora.folder import write_whole
from fathom.harness.training.corpora.mix import Mix, Source, mix_vocabulary
from fathom.harness.training.corpora.pieces import Code, coder, piecewise
from fathom.tasks.corpora.base import Block, TextBlock
from fathom.tasks.tokens import TokenBlock

END = "<|end|>"
"""Ends a document of a text form; id 0."""
VOCABULARY = 4096

_SAMPLE_CHARACTERS = 4_000_000
_SAMPLE_BLOCKS = 400
_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


@dataclass(frozen=True)
class Spelling:
    """A tokenizer with the token that ends a document."""

    tokenizer: Tokenizer
    end: str

    @property
    def end_id(self) -> int:
        """Return the id that ends a document."""
        return int(self.tokenizer.token_to_id(self.end) or 0)

    @cached_property
    def dtype(self) -> np.dtype[np.uint16] | np.dtype[np.uint32]:
        """Return the type of an id, low byte first: 2 bytes where all ids fit; a vocabulary may have gaps."""
        fits = max(self.tokenizer.get_vocab().values()) < 1 << 16
        return np.dtype("<u2") if fits else np.dtype("<u4")

    @cached_property
    def code(self) -> Code:
        """Return what packs the ids of a text."""
        return coder(self.tokenizer, self.dtype)

    @property
    def digest(self) -> str:
        """Return a digest of all that decides ids."""
        return blake2b(f"{self.tokenizer.to_str()}\n{self.end}".encode(), digest_size=16).hexdigest()


def vocabulary_tokenizer(vocabulary: tuple[str, ...]) -> Tokenizer:
    """Return a tokenizer that reads tokens with white space between them; what it does not know ends a document."""
    ids = {token: at for at, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=vocabulary[0]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([vocabulary[0]])
    return tokenizer


def text_tokenizer(source: Source, size: int) -> Tokenizer:
    """Train a byte-level BPE on text like that of a mix; any text can be encoded."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = piecewise()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_sample(source), trainer)
    return tokenizer


def _sample(source: Source) -> Iterator[str]:
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
    """Return the tokens of a mix of token forms, or nothing for texts.

    Raises:
        BadMix: vocabularies that do not fit together; a token form and a size or a folder.
    """
    vocabulary = mix_vocabulary(mix)
    if vocabulary and (size is not None or folder is not None):
        raise BadMix(
            f"{mix.parts[0].corpus} in this form has a vocabulary of its own, of {len(vocabulary)} tokens: "
            "leave --vocabulary and --tokenizer out"
        )
    return vocabulary


def make_spelling(source: Source, size: int | None = None, folder: Path | None = None) -> Spelling:
    """Return the tokenizer of a mix: its own vocabulary, that of a Hugging Face folder, or a BPE of `size` tokens.

    Raises:
        BadMix: a folder without a tokenizer or an end token; a token form and a size or a folder.
    """
    vocabulary = own_vocabulary(source.mix, size, folder)
    if vocabulary:
        return Spelling(vocabulary_tokenizer(vocabulary), vocabulary[0])
    if folder is not None:
        return read_spelling(folder)
    return Spelling(text_tokenizer(source, size or VOCABULARY), END)


def read_spelling(folder: Path) -> Spelling:
    """Read the tokenizer of a Hugging Face folder.

    Raises:
        BadMix: there is none, or it names no end token.
    """
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except Exception as error:  # tokenizers raises bare Exception for files that it cannot read
        raise BadMix(f"{folder} holds no tokenizer of Hugging Face ({error})") from error
    end = config.get("eos_token") if isinstance(config, dict) else None
    end = end.get("content") if isinstance(end, dict) else end
    if not isinstance(end, str) or tokenizer.token_to_id(end) is None:
        raise BadMix(f"{folder}: tokenizer_config.json names no eos_token, which has to end each document")
    return Spelling(tokenizer, end)


def save_spelling(spelling: Spelling, folder: Path, given: Path | None = None) -> None:
    """Write a folder that transformers' AutoTokenizer loads: a copy of a given one, or a new one."""
    folder.mkdir(parents=True, exist_ok=True)
    if given is not None:
        for name in _FILES:
            if (given / name).exists():
                shutil.copyfile(given / name, folder / name)
        return
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": spelling.end,
        "pad_token": spelling.end,
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
    }
    write_whole(folder / "tokenizer.json", spelling.tokenizer.to_str(pretty=True).encode())
    write_whole(folder / "tokenizer_config.json", json.dumps(config, indent=1).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Documents:
    """Documents as arrays.

    `ids` are token ids, end tokens included; `ends` (int64) says after how many of them each document ends; `learnt`
    is a bool a token, None where all are learnt; `texts` holds each document's text, None for token forms.
    """

    ids: NDArray[np.unsignedinteger]
    ends: NDArray[np.int64]
    learnt: NDArray[np.bool_] | None
    texts: list[str] | None

    def first(self, n: int) -> "Documents":
        """Return the first `n` documents."""
        at = int(self.ends[n - 1]) if n else 0
        return Documents(
            self.ids[:at],
            self.ends[:n],
            None if self.learnt is None else self.learnt[:at],
            None if self.texts is None else self.texts[:n],
        )


def spell(block: Block, spelling: Spelling) -> Documents:
    """Turn a block into token ids."""
    return _spell_tokens(block, spelling) if isinstance(block, TokenBlock) else _spell_texts(block, spelling)


def _spell_tokens(block: TokenBlock, spelling: Spelling) -> Documents:
    ids: NDArray[np.unsignedinteger] = np.frombuffer(block.ids, np.dtype("<u2")).astype(spelling.dtype, copy=False)
    learnt = None if block.learnt is None else np.frombuffer(block.learnt, np.uint8) != 0
    return Documents(ids, np.array(block.ends, np.int64), learnt, None)


def _spell_texts(block: TextBlock, spelling: Spelling) -> Documents:
    """Encode prompts and completions apart, as a model that is asked will read them."""
    code, end, size = spelling.code, np.array([spelling.end_id], spelling.dtype).tobytes(), spelling.dtype.itemsize
    packed: list[bytes] = []
    ends: list[int] = []
    silent: list[tuple[int, int]] = []
    at = 0
    for pairs in block.documents:
        for prompt, completion in pairs:
            if prompt:
                asked = code(prompt)
                packed.append(asked)
                silent.append((at, at + len(asked)))
                at += len(asked)
            answer = code(completion)
            packed.append(answer)
            at += len(answer)
        packed.append(end)
        at += size
        ends.append(at)
    learnt = np.ones(at // size, np.bool_) if silent else None
    if learnt is not None:
        for began, ended in silent:
            learnt[began // size : ended // size] = False
    ids: NDArray[np.unsignedinteger] = np.frombuffer(b"".join(packed), spelling.dtype)
    return Documents(ids, np.array(ends, np.int64) // size, learnt, _texts(block))
