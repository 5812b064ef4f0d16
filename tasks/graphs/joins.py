"""Arrows that join: every vertex has one arrow, several may lead to the same vertex, and no way leads back.

Followed for long enough, all arrows end in a small loop. What lies behind a start is never on its way: so, unlike on a
ring, nothing is gained by following arrows backwards.
"""

from fathom.tasks.stream import Stream

_LOOP = 4
"""Vertices of the loop in which all ways end."""

_REACH = 4
"""Most vertices by which an arrow leads down."""


def draw_joins(n: int, hops: int, stream: Stream) -> tuple[list[int], int]:
    """Draw the vertex to which each of n vertices leads, and a start whose first `hops` arrows stay out of the loop.

    Outside the loop, each vertex leads to one of the four below it, so about a third of all have no arrow to them.
    """
    while True:
        words = stream.words(n)
        follows = [(at - 1) % _LOOP for at in range(_LOOP)]
        depth = [0] * _LOOP
        for at in range(_LOOP, n):
            below = at - 1 - words[at] % _REACH
            follows.append(below)
            depth.append(depth[below] + 1)
        starts = [at for at, deep in enumerate(depth) if deep > hops]
        if starts:
            return follows, starts[words[0] % len(starts)]
