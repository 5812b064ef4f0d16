"""Dependencies as tokens: the form in which the corpus brevo shows them and the family brevo asks about them.

    Needs: a1 b1 a2 b2 ... ? q = v1 v2 ... q

Each pair a b says that b needs a; after `=` come all that q needs and q itself, each after all its needs. Names are
single tokens, v0, v1 ..., or of 2-4 tokens of which the last stands nowhere else in a name.

Reference: Allen-Zhu, Physics of Language Models 4.1 (arXiv 2512.17351), synthetic task Brevo.
"""

from functools import cache
from typing import NamedTuple

from fathom.tasks.graphs.dependencies import ancestors, draw_graph
from fathom.tasks.stream import Stream
from fathom.tasks.tokens import END, TokenNames, pack_tokens, speller

_FIRST = 4  # id of the first name

NEEDS_KINDS = ("single", "multi")
"""Part 4.1: names of one token, or of 2-4 tokens out of 4 + 4."""

MULTI = TokenNames(_FIRST, 4, 4, 2, 4)

LEAST = 4
"""Fewest vertices of a graph in token form."""

NEEDS_MARKS = (pack_tokens([1]), pack_tokens([2]), pack_tokens([3]))
"""The tokens before a graph, before a query and before an answer, packed."""

_MARK, _ASK, _IS = "Needs:", "?", "="
_FEWEST_SINGLE = 70  # vertices of the smallest training mix of part 4.1


class Needs(NamedTuple):
    """A problem in tokens, packed: in an edge, the second name needs the first; the answer is a right one."""

    edges: list[tuple[bytes, bytes]]
    query: bytes
    answer: list[bytes]


class NeedsProblem(NamedTuple):
    """One problem as text: tokens separated by blanks. In an edge, the second name needs the first."""

    question: str
    answer: str
    edges: list[tuple[str, str]]  # as shown
    query: str


@cache
def needs_vocabulary(names: str, n: int) -> tuple[str, ...]:
    """Return the vocabulary for names `single` (n different ones) or `multi`."""
    return (END, _MARK, _ASK, _IS, *([f"v{at}" for at in range(n)] if names == "single" else MULTI.letters))


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


def draw_needs(names: str, n: int, most: int, stream: Stream) -> Needs:
    """Draw a graph of n vertices and a query of its last quarter; single names come from the first `most`."""
    drawn = MULTI.draw(stream, n) if names == "multi" else _pick(_singles(most)[:], n, stream)
    word, *words = stream.words(n + 1)
    parents = draw_graph(words).parents
    query = n - 1 - word % (n // 4)
    edges = [(drawn[a], drawn[b]) for b, some in enumerate(parents) for a in some]
    return Needs(stream.shuffle(edges), drawn[query], [drawn[v] for v in ancestors(parents, query)])


def draw_needs_problem(names: str, n: int, stream: Stream) -> NeedsProblem:
    """Draw one question about n vertices with names `single` or `multi`, as a document of the corpus begins.

    Few vertices have single names that every model of part 4.1 knows, of v0 .. v69.
    """
    most = max(n, _FEWEST_SINGLE)
    drawn = draw_needs(names, n, most, stream)
    spell = speller(needs_vocabulary(names, most))
    edges = [(spell(a), spell(b)) for a, b in drawn.edges]
    shown = " ".join([name for edge in edges for name in edge])
    asked = spell(drawn.query)
    return NeedsProblem(f"{_MARK} {shown} {_ASK} {asked} {_IS}", " ".join(map(spell, drawn.answer)), edges, asked)


def split_names(text: str) -> list[str]:
    """Return the names at the beginning of a text of tokens; what is left of a name that does not end is one too."""
    names: list[str] = []
    begun: list[str] = []
    for token in text.split():
        if token[0] not in "avz" or not token[1:].isdecimal():
            break
        begun.append(token)
        if token[0] != "a":
            names.append(" ".join(begun))
            begun = []
    return [*names, " ".join(begun)] if begun else names
