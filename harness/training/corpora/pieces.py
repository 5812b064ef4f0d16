"""Turn training text into a tokenizer of pieces: names, numbers and fixed phrases cost one token each."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.pre_tokenizers import PreTokenizer

END = "<|end|>"


# Arrows and the like are dropped: with a name and its successor side by side, a model this small
# learns to look one up 10 times sooner.
_DROPPED = r" ->| needs(?= [A-Z]{2}[;.])| =(?= (?:[0-9]{4}|[A-Z]{2})\n)"


_PROSE = "Go|Give|Reply|Answer|Arrows|Needs|Then|Work|Several|Each|Here|The|In|Who|Which"


# Names, numbers and letters of strings stand alone, so that each is always the same one token;
# whatever lies between them is a phrase.
_ALONE = (
    r" [A-Z]{2,5}(?![A-Za-z])| [B-Z](?= |\n)| [a-z](?= [a-z](?![a-z])|\n| \||\)|$)| -[0-9]+| ?[0-9]+"
    rf"| (?!(?:{_PROSE})\b)[A-Z][a-z]+| \||\)| [-+*](?= )|;|(?<=studied) [a-z]+(?: [a-z]+)?(?= at)"
)


# What begins a line or stands in brackets is spelt as elsewhere, with a blank before it.
_STARTS = r"(?=[0-9]|[A-Z]{2}\b|[B-Z] |[a-z](?: [a-z](?![a-z])|\n))"


_INSIDE = r"(?=[0-9]|[A-Z]{2}\b)"


_LEAST_SEEN, _LEAST_WORD, _LEAST_PIECE = 20, 60, 5


def learn_pieces(texts: Sequence[str], size: int) -> Tokenizer:
    """Learn whole pieces that are often seen, and a byte-level BPE for the rest; most texts come back as they were.

    What does not come back: arrows and the like.
    """
    cut = _cutter(_fixed_lines(texts))
    pieces = Counter(piece for text in texts for piece, _ in cut.pre_tokenize_str(_spelt(text)))
    known = [
        piece
        for piece, seen in sorted(pieces.items(), key=lambda pair: (-pair[1], pair[0]))
        if len(piece) > 1 and seen >= (_LEAST_WORD if re.fullmatch("Ġ[A-Z][a-z]+", piece) else _LEAST_PIECE)
    ]
    whole = known[: (size - 257) * 5 // 6]
    rest = Counter(pieces)
    for piece in whole:
        del rest[piece]
    learned = json.loads(_learn(rest, size - len(whole)).to_str())["model"]
    vocabulary: dict[str, int] = learned["vocab"]
    for piece in whole:
        vocabulary.setdefault(piece, len(vocabulary))
    # ignore_merges: a piece that is in the vocabulary is one token, merges or not
    merges = [(first, second) for first, second in learned["merges"]]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=True))
    tokenizer.add_special_tokens([END])
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Replace(Regex("\n" + _STARTS), "\n "), normalizers.Replace(Regex(r"\(" + _INSIDE), "( ")]
    )
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.ByteLevel(),
            decoders.Replace(Regex("\n " + _STARTS), "\n"),
            decoders.Replace(Regex(r"\( " + _INSIDE), "("),
        ]
    )
    return tokenizer


def _spelt(text: str) -> str:
    return re.sub(r"\(" + _INSIDE, "( ", re.sub("\n" + _STARTS, "\n ", text))


def _fixed_lines(texts: Iterable[str]) -> list[str]:
    """Return long lines, and ends of lines after a question, that come again and again; the longest first."""
    lines = Counter(line for text in texts for line in re.findall(r"(?:^|(?<=\n))[^?\n]{40,}|\?.{40,}", text))
    often = [line for line, seen in lines.items() if seen >= _LEAST_SEEN and re.search(_ALONE, line)]
    return sorted(often, key=lambda line: (-len(line), line))


def _cutter(lines: Sequence[str]) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_DROPPED), "removed"),
            pre_tokenizers.Split(Regex("|".join([*map(re.escape, lines), _ALONE])), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _learn(pieces: Counter[str], size: int) -> Tokenizer:
    """Train a BPE on pieces that are spelt in byte-level letters."""
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((piece for piece, seen in pieces.items() for _ in range(min(seen, 50))), trainer)
    return tokenizer


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
