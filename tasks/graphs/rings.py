"""Rings of names as tokens: the form in which the corpus depo shows them and the family depo asks about them.

    Ring: x1 y1 x2 y2 ... ?k q = a

Each pair x y is an arrow; `?k q = a` says that a comes k arrows after q. Every name ends with a token that stands
nowhere else in a name, so nothing separates names.

Reference: Allen-Zhu, Physics of Language Models 4.1 (arXiv 2512.17351), synthetic task Depo.
"""

from functools import cache
from typing import NamedTuple

from fathom.tasks.stream import Stream
from fathom.tasks.tokens import END, TokenNames, pack_tokens, speller

RING_NAMES = {"short": TokenNames(3, 50, 50, 1, 2), "long": TokenNames(3, 4, 4, 5, 7)}
"""Part 4.1: names of 1-2 tokens out of 50 + 50, or of 5-7 tokens out of few."""

MOST_HOPS = 64

RING_MARK, RING_ANSWER = pack_tokens([1]), pack_tokens([2])
"""The tokens before a ring and before an answer, packed."""

_MARK, _ANSWER = "Ring:", "="


class Ring(NamedTuple):
    """A ring in tokens, packed: `names` follow each other; `order` says in which order their arrows are shown."""

    names: list[bytes]
    order: list[int]


class RingProblem(NamedTuple):
    """One problem as text: tokens separated by blanks. Edges lead from the first name to the second."""

    question: str
    answer: str
    edges: list[tuple[str, str]]  # as shown
    start: str


@cache
def ring_vocabulary(names: str, k: int) -> tuple[str, ...]:
    """Return the vocabulary for names `short` or `long` and up to k hops."""
    return (END, _MARK, _ANSWER, *RING_NAMES[names].letters, *[f"?{hops}" for hops in range(1, k + 1)])


@cache
def hop_tokens(names: str) -> list[bytes]:
    """Return the packed tokens that ask for 1, 2, ... MOST_HOPS hops."""
    first = len(ring_vocabulary(names, 0))
    return [pack_tokens([first + hops]) for hops in range(MOST_HOPS)]


def draw_ring(names: TokenNames, n: int, stream: Stream) -> Ring:
    """Draw a ring of n names, and the order of its arrows."""
    drawn = names.draw(stream, n)
    keys = stream.words(n)
    return Ring(drawn, sorted(range(n), key=keys.__getitem__))


def draw_ring_problem(names: str, n: int, hops: int, stream: Stream) -> RingProblem:
    """Draw a ring of n names, `short` or `long`, and one question, as a document of the corpus begins.

    Training text continues with the next question after the answer: read a model's answer with `first_name`.
    """
    ring = draw_ring(RING_NAMES[names], n, stream)
    spell = speller(ring_vocabulary(names, hops))
    spelt = [spell(name) for name in ring.names]
    edges = [(spelt[at], spelt[(at + 1) % n]) for at in ring.order]
    shown = " ".join([name for edge in edges for name in edge])
    # The first names drawn are short more often than all names, so a fixed start would favour one short name.
    at = stream.below(n)
    return RingProblem(f"{_MARK} {shown} ?{hops} {spelt[at]} {_ANSWER}", spelt[(at + hops) % n], edges, spelt[at])


def first_name(text: str) -> str | None:
    """Return the first complete name of a text of tokens, or None if there is none."""
    name: list[str] = []
    for token in text.split():
        if not token.startswith(("a", "z")):
            return None
        name.append(token)
        if token.startswith("z"):
            return " ".join(name)
    return None
