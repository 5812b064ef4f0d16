"""The corpus mano: expressions and their values modulo p as tokens, or lessons of the family mano.

Value: * + 3 4 22 = 16

Prefix form: operators stand before their two operands. The number of operations is uniform on 1..max. A part of l
operations is a random number if l is 0, else a random operator with 0..l-1 of the other operations, uniformly, on its
left. Values are not uniform: at p = 23 about one in 15 is 0.

Reference: Allen-Zhu, Physics of Language Models 4.1 (arXiv 2512.17351), synthetic task Mano.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from fathom.tasks.corpora.base import Option, Options
from fathom.tasks.corpora.forms import Form, FormedCorpus
from fathom.tasks.corpora.lessons import N_DOCUMENTS
from fathom.tasks.stream import Stream
from fathom.tasks.tokens import END, END_BYTES, TOKEN_BYTES, TokenBlock, pack_tokens, token_block

_OPERATORS = ("+", "-", "*")
_MOST_MODULUS = 97
_MOST_OPERATIONS = 64
_ZERO = 3 + len(_OPERATORS)  # id of the number 0
_MARK, _IS = pack_tokens([1]), pack_tokens([2])
_SIGNS = tuple(pack_tokens([3 + kind]) for kind in range(len(_OPERATORS)))
_LOW = (1 << 32) - 1


class _Part(NamedTuple):
    tokens: bytes
    value: int


@cache
def _tokens(p: int) -> tuple[str, ...]:
    """Return the vocabulary for numbers of 0..p-1."""
    return (END, "Value:", "=", *_OPERATORS, *map(str, range(p)))


@cache
def _numbers(p: int) -> tuple[bytes, ...]:
    return tuple(pack_tokens([_ZERO + number]) for number in range(p))


@cache
def _pairs(p: int) -> tuple[_Part, ...]:
    """Return all expressions of one operation, computed once: they are a third of the work."""
    numbers = _numbers(p)
    return tuple(
        _Part(sign + numbers[a] + numbers[b], value % p)
        for a in range(p)
        for b in range(p)
        for sign, value in zip(_SIGNS, (a + b, a - b, a * b), strict=True)
    )


def _grow(size: int, words: list[int], p: int) -> _Part:
    """Draw an expression of 2 operations or more, with at most one word for each operation and each number."""
    word = words.pop()
    kind = (word >> 32) * 3 >> 32
    left = (word & _LOW) * size >> 32
    pairs, numbers = _pairs(p), _numbers(p)
    parts = []
    for part in (left, size - 1 - left):
        if part > 1:
            parts.append(_grow(part, words, p))
        elif part:
            parts.append(pairs[words.pop() * len(pairs) >> 64])
        else:
            number = words.pop() * p >> 64
            parts.append(_Part(numbers[number], number))
    (one, a), (two, b) = parts
    return _Part(_SIGNS[kind] + one + two, (a * b if kind == 2 else a - b if kind else a + b) % p)


def _expression(size: int, words: list[int], p: int) -> _Part:
    if size > 1:
        return _grow(size, words, p)
    pairs = _pairs(p)
    return pairs[words.pop() * len(pairs) >> 64]


def _vocabulary(options: Options) -> tuple[str, ...]:
    return _tokens(int(options["modulus"]))


def _write(options: Options, _seed: str, stream: Stream) -> TokenBlock:
    p, most = int(options["modulus"]), int(options["operations"])
    numbers, marked = _numbers(p), options["learn"] == "answers"
    sizes = [1 + (word * most >> 64) for word in stream.words(N_DOCUMENTS)]
    words = stream.words(sum(sizes) * 2 + N_DOCUMENTS)
    documents = []
    for size in sizes:
        shown, value = _expression(size, words, p)
        documents.append(b"".join((_MARK, shown, _IS, numbers[value], END_BYTES)))
    learnt = [bytes(len(one) // TOKEN_BYTES - 2) + b"\1\1" for one in documents] if marked else None
    return token_block(documents, learnt)


_OPTIONS: Mapping[str, Option] = {
    "modulus": Option(23, "p: numbers are 0..p-1", 2, _MOST_MODULUS),
    "operations": Option(10, "most operations of an expression", 1, _MOST_OPERATIONS),
    "learn": Option("answers", "which tokens are learnt", choices=("answers", "all")),
}

CORPUS = FormedCorpus(
    "mano",
    2,
    "Expressions in prefix form and their values modulo p, token by token; or lessons of the family mano.",
    "Physics of Language Models 4.1 (arXiv 2512.17351), task Mano",
    (Form("tokens", _OPTIONS, _write, _vocabulary),),
)
