"""Directed acyclic graphs of dependencies: what each vertex needs, for the family and the corpus brevo.

Reference: Allen-Zhu, Physics of Language Models 4.1 (arXiv 2512.17351), synthetic task Brevo.
"""

from collections.abc import Sequence
from typing import NamedTuple

MOST_NEEDS = 4
"""Most prerequisites of one vertex, and most vertices that need one vertex."""

VertexOrder = list[int]


class DependencyGraph(NamedTuple):
    """A DAG of numbered vertices."""

    parents: list[VertexOrder]  # of each vertex; they come before it
    n_children: list[int]


def draw_graph(words: Sequence[int]) -> DependencyGraph:
    """Make a DAG with one vertex for each word of 64 random bits.

    A word is used digit by digit: the bounds of its draws multiply to below 2**27, so that each is close to uniform.
    """
    n = len(words)
    n_leaves = 1 + words[0] % ((n - 1) // 4 + 1)
    parents: list[VertexOrder] = [[] for _ in range(n_leaves)]
    n_children = [0] * n
    free = list(range(n_leaves))
    for vertex in range(n_leaves, n):
        size = len(free)
        word, n_more = divmod(words[vertex], MOST_NEEDS if size > MOST_NEEDS else size)
        chosen: VertexOrder = []
        while len(chosen) <= n_more:
            word, at = divmod(word, size)
            size -= 1
            chosen.append(free.pop(at))
        for parent in chosen:
            n_children[parent] += 1
            if n_children[parent] < MOST_NEEDS:
                free.append(parent)
        parents.append(chosen)
        free.append(vertex)
    return DependencyGraph(parents, n_children)


def draw_needed(words: Sequence[int], reach: int) -> list[VertexOrder]:
    """Make a DAG in which the last vertex needs all others, and return what each vertex needs; a word for each vertex.

    Each vertex but the last is needed by one of the `reach` vertices after it, and needs only some of the `reach`
    before it: so at least (n - 1) / reach steps lead from the first to the last.
    """
    last = len(words) - 1
    parents: list[VertexOrder] = [[] for _ in words]
    for vertex in range(last - 1, -1, -1):
        child = vertex + 1 + words[vertex] % min(reach, last - vertex)
        if len(parents[child]) == MOST_NEEDS:
            child = vertex + 1  # no earlier vertex has been looked at, so nothing is needed there yet
        parents[child].append(vertex)
    for vertex in range(1, last + 1 if reach > 1 else 1):
        some, first = parents[vertex], max(0, vertex - reach)
        word, wanted = divmod(words[vertex] >> 16, MOST_NEEDS)
        if wanted > len(some):
            free = [earlier for earlier in range(first, vertex) if earlier not in some]
            while free and len(some) < wanted:
                word, at = divmod(word, len(free))
                some.append(free.pop(at))
    return parents


def ancestors(parents: Sequence[VertexOrder], query: int) -> VertexOrder:
    """Return the ancestors of a vertex and the vertex itself, ascending: one order in which they can be done."""
    wanted = {query}
    for vertex in range(query, 0, -1):
        if vertex in wanted:
            wanted.update(parents[vertex])
    return sorted(wanted)
