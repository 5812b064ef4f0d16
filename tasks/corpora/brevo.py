"""The corpus brevo: dependencies and the needs of a goal as tokens, or lessons of the family brevo.

Needs: a1 b1 a2 b2 ... ? q = v1 v2 ... q

Each pair a b, in random order, says that b needs a; after `=` come all that q needs and q itself, each after all its
needs, in the order in which the graph was drawn. Names are single tokens, v0, v1 ..., or of 2-4 tokens without
separators. n is drawn from 4..N with weight 1 / (n + sqrt(N)).

Reference: Allen-Zhu, Physics of Language Models 4.1 (arXiv 2512.17351), synthetic task Brevo.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from fathom.tasks.corpora.base import Option, Options
from fathom.tasks.corpora.forms import Form, FormedCorpus
from fathom.tasks.corpora.lessons import N_DOCUMENTS
from fathom.tasks.errors import BadOption
from fathom.tasks.graphs.dependencies import ancestors, draw_graph
from fathom.tasks.stream import Stream
from fathom.tasks.tokens import (
    END,
    END_BYTES,
    TOKEN_BYTES,
    TokenBlock,
    TokenNames,
    pack_tokens,
    size_table,
    token_block,
)

_FIRST = 4  # id of the first name
_KINDS = ("single", "multi")
_MULTI = TokenNames(_FIRST, 4, 4, 2, 4)
_MOST = 200
_LEAST = 4
_MARK, _ASK, _IS = pack_tokens([1]), pack_tokens([2]), pack_tokens([3])


class _Drawn(NamedTuple):
    """A problem in tokens, packed: pairs of names as shown, the query, and a right answer."""

    edges: list[bytes]
    query: bytes
    answer: list[bytes]


@cache
def _tokens(names: str, n: int) -> tuple[str, ...]:
    """Return the vocabulary for names single (n different ones) or multi."""
    return (END, "Needs:", "?", "=", *([f"v{at}" for at in range(n)] if names == "single" else _MULTI.letters))


@cache
def _singles(n: int) -> list[bytes]:
    return [pack_tokens([_FIRST + at]) for at in range(n)]


def _pick(pool: list[bytes], n: int, stream: Stream) -> list[bytes]:
    """Remove n random elements from the pool and return them."""
    size, picked = len(pool), []
    for word in stream.words(n):
        picked.append(pool.pop(word * size >> 64))
        size -= 1
    return picked


def _draw(names: str, n: int, most: int, stream: Stream) -> _Drawn:
    drawn = _MULTI.draw(stream, n) if names == "multi" else _pick(_singles(most)[:], n, stream)
    word, *words = stream.words(n + 1)
    parents = draw_graph(words).parents
    query = n - 1 - word % (n // 4)
    edges = [drawn[a] + drawn[b] for b, some in enumerate(parents) for a in some]
    return _Drawn(stream.shuffle(edges), drawn[query], [drawn[v] for v in ancestors(parents, query)])


def _vocabulary(options: Options) -> tuple[str, ...]:
    return _tokens(str(options["names"]), int(options["n"]))


def _check(options: Options) -> None:
    most = _MULTI.count // 4
    if options["names"] == "multi" and int(options["n"]) > most:
        raise BadOption(f"brevo: n = {options['n']}, but there are {_MULTI.count} names of 2-4 tokens: n <= {most}")


def _write(options: Options, _seed: str, stream: Stream) -> TokenBlock:
    names, most = str(options["names"]), int(options["n"])
    table, marked = size_table(_LEAST, most), options["learn"] == "answers"
    documents, learnt = [], []
    for word in stream.words(N_DOCUMENTS):
        edges, query, answer = _draw(names, table[word * len(table) >> 64], most, stream)
        asked = b"".join([_MARK, *edges, _ASK, query, _IS])
        said = b"".join([*answer, END_BYTES])
        documents.append(asked + said)
        learnt.append(bytes(len(asked) // TOKEN_BYTES) + b"\1" * (len(said) // TOKEN_BYTES))
    return token_block(documents, learnt if marked else None)


_OPTIONS: Mapping[str, Option] = {
    "names": Option("single", "names of one token, or of 2-4 (multi)", choices=_KINDS),
    "n": Option(70, "most vertices", _LEAST, _MOST),
    "learn": Option("answers", "which tokens are learnt", choices=("answers", "all")),
}

CORPUS = FormedCorpus(
    "brevo",
    1,
    "What needs what, and all that a goal needs in an order that works, in tokens; or lessons of the family brevo.",
    "Physics of Language Models 4.1 (arXiv 2512.17351), task Brevo",
    (Form("tokens", _OPTIONS, _write, _vocabulary, _check),),
)
