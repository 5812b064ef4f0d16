"""Tokenizers of lessons: byte-level BPE, or pieces, where names, numbers and fixed phrases are one token each."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from fathom.harness.training.corpora.tokenizer import END_OF_DOCUMENT
from fathom.harness.training.lessons import lesson_pairs
from fathom.harness.training.recipe import Recipe

_BPE_TEXTS, _PIECES_TEXTS = 4000, 6000
"""Lessons on which each kind of tokenizer is trained."""

# Names and numbers stand alone, so that each is always the same single token. Everything between them may merge
# across words, so that fixed phrases cost few tokens. Arrows are dropped: with a name and its successor side by side,
# a model of this size learns to look names up 10 times sooner.
_BPE_DROPPED = " ->"
_BPE_ALONE = Regex(r" [A-Z]{2,5}(?![A-Za-z])| ?[0-9]+|;")

# As above for pieces: arrows, "needs" and "=" between names are dropped.
_PIECES_DROPPED = r" ->| needs(?= [A-Z]{2}[;.])| =(?= (?:[0-9]{4}|[A-Z]{2})\n)"
_PROSE = "Go|Give|Reply|Answer|Arrows|Needs|Then|Work|Several|Each|Here|The|In|Who|Which"
# Names, numbers and letters of strings stand alone; the text between two of them is a phrase.
_PIECES_ALONE = (
    r" [A-Z]{2,5}(?![A-Za-z])| [B-Z](?= |\n)| [a-z](?= [a-z](?![a-z])|\n| \||\)|$)| -[0-9]+| ?[0-9]+"
    rf"| (?!(?:{_PROSE})\b)[A-Z][a-z]+| \||\)| [-+*](?= )|;|(?<=studied) [a-z]+(?: [a-z]+)?(?= at)"
)
# At the start of a line and after a bracket a blank is inserted, so that a name has the same token as elsewhere.
_STARTS = r"(?=[0-9]|[A-Z]{2}\b|[B-Z] |[a-z](?: [a-z](?![a-z])|\n))"
_INSIDE = r"(?=[0-9]|[A-Z]{2}\b)"
_MIN_LINE_COUNT, _MIN_WORD_COUNT, _MIN_PIECE_COUNT = 20, 60, 5
"""How often a line, a capitalised word or another piece must occur to become one token."""


def build_lesson_tokenizer(recipe: Recipe) -> Tokenizer:
    """Train the tokenizer of a recipe's lessons: a byte-level BPE, or pieces. Both drop arrows."""
    if recipe.tokenizer == "pieces":
        return _learn_pieces([*_texts(recipe, _PIECES_TEXTS)], recipe.vocabulary or 0)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_BPE_DROPPED, "removed"),
            pre_tokenizers.Split(_BPE_ALONE, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=recipe.vocabulary or 0,  # set in every recipe with lessons
        special_tokens=[END_OF_DOCUMENT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(recipe, _BPE_TEXTS), trainer)
    return tokenizer


def _texts(recipe: Recipe, count: int) -> Iterator[str]:
    for index in range(count):
        yield "".join(prompt + completion for prompt, completion in lesson_pairs(recipe, index, "tokenizer"))


def _learn_pieces(texts: Sequence[str], size: int) -> Tokenizer:
    """Make one token of each frequent piece, and train a byte-level BPE for the rest.

    Decoding restores the text except for what _PIECES_DROPPED matches.
    """
    cut = _cutter(_fixed_lines(texts))
    pieces = Counter(piece for text in texts for piece, _ in cut.pre_tokenize_str(_with_blanks(text)))
    known = [
        piece
        for piece, seen in sorted(pieces.items(), key=lambda pair: (-pair[1], pair[0]))
        if len(piece) > 1 and seen >= (_MIN_WORD_COUNT if re.fullmatch("Ġ[A-Z][a-z]+", piece) else _MIN_PIECE_COUNT)
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
    tokenizer.add_special_tokens([END_OF_DOCUMENT])
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


def _with_blanks(text: str) -> str:
    return re.sub(r"\(" + _INSIDE, "( ", re.sub("\n" + _STARTS, "\n ", text))


def _fixed_lines(texts: Iterable[str]) -> list[str]:
    """Return frequent long lines, and frequent ends of lines after a question, the longest first."""
    lines = Counter(line for text in texts for line in re.findall(r"(?:^|(?<=\n))[^?\n]{40,}|\?.{40,}", text))
    frequent = [line for line, seen in lines.items() if seen >= _MIN_LINE_COUNT and re.search(_PIECES_ALONE, line)]
    return sorted(frequent, key=lambda line: (-len(line), line))


def _cutter(lines: Sequence[str]) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES_DROPPED), "removed"),
            pre_tokenizers.Split(Regex("|".join([*map(re.escape, lines), _PIECES_ALONE])), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _learn(pieces: Counter[str], size: int) -> Tokenizer:
    """Train a BPE on pieces written in the alphabet of byte-level BPE."""
    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END_OF_DOCUMENT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator((piece for piece, seen in pieces.items() for _ in range(min(seen, 50))), trainer)
    return tokenizer
