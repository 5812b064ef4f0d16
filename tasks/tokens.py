"""Token ids as bytes, and names of one or several tokens.

The last token of a name comes from letters that no other position uses, so that nothing separates names.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate, product
from math import sqrt

from fathom.tasks.stream import Stream

END = "<end>"
"""Token 0 of every vocabulary; it ends each document."""

END_BYTES = b"\0\0"
"""END, packed."""

TOKEN_BYTES = 2
"""Bytes of one token."""

_SPREAD = 1 << 16


def pack_tokens(ids: Iterable[int]) -> bytes:
    """Return ids as bytes, 2 each, low byte first."""
    return b"".join([at.to_bytes(TOKEN_BYTES, "little") for at in ids])


def unpack_tokens(ids: bytes) -> list[int]:
    """Return the ids that `pack_tokens` packed."""
    return [low | high << 8 for low, high in zip(ids[::2], ids[1::2], strict=True)]


@dataclass(frozen=True, slots=True)
class TokenBlock:
    """Documents in token form, one after the other; each ends with token 0.

    `ids` holds 2 bytes a token, low byte first: indices into the corpus's vocabulary. `ends` holds, for each document,
    the number of tokens up to its end. `learnt` holds 1 byte a token, 1 where the loss counts; None: it counts
    everywhere.
    """

    ids: bytes
    ends: tuple[int, ...]
    learnt: bytes | None = None


def token_block(documents: Sequence[bytes], learnt: Sequence[bytes] | None = None) -> TokenBlock:
    """Join documents, each packed and with its end, and the flags of what is learnt, one byte a token."""
    ends = tuple([size // TOKEN_BYTES for size in accumulate(map(len, documents))])
    return TokenBlock(b"".join(documents), ends, None if learnt is None else b"".join(learnt))


@dataclass(frozen=True)
class TokenNames:
    """Names of `shortest` to `longest` tokens: any of `inner` letters, then one of `last` other letters.

    `first` is the id of the first letter; the others follow it.
    """

    first: int
    inner: int
    last: int
    shortest: int
    longest: int

    @cached_property
    def letters(self) -> tuple[str, ...]:
        """The letters in the order of their ids: a0, a1 ..., then those that end a name, z0, z1 ..."""
        return (*[f"a{at}" for at in range(self.inner)], *[f"z{at}" for at in range(self.last)])

    @cached_property
    def table(self) -> list[bytes]:
        """All names, packed; shorter names are repeated, so that each length is equally likely."""
        inner = [pack_tokens([self.first + at]) for at in range(self.inner)]
        last = [pack_tokens([self.first + self.inner + at]) for at in range(self.last)]
        lengths = range(self.shortest, self.longest + 1)
        pools = [[b"".join(name) for name in product(*[inner] * (length - 1), last)] for length in lengths]
        most = len(pools[-1])
        return [name for pool in pools for name in pool * (most // len(pool))]

    @cached_property
    def count(self) -> int:
        """Number of different names."""
        return sum(self.inner ** (length - 1) * self.last for length in range(self.shortest, self.longest + 1))

    def draw(self, stream: Stream, count: int) -> list[bytes]:
        """Draw different names; lengths are uniform, and names are uniform within a length, until one repeats."""
        table, size = self.table, len(self.table)
        found = dict.fromkeys([table[word * size >> 64] for word in stream.words(count)])
        while len(found) < count:
            found |= dict.fromkeys([table[word * size >> 64] for word in stream.words(count - len(found))])
        return list(found)


@cache
def size_table(least: int, most: int) -> tuple[int, ...]:
    """Return sizes for uniform draws: n is as frequent as 1 / (n + sqrt(most)) (part 4.1), exact to 1 in 65,536."""
    weights = [1 / (n + sqrt(most)) for n in range(least, most + 1)]
    total, table = sum(weights), list[int]()
    for n, upto in zip(range(least, most + 1), accumulate(weights), strict=True):
        table += [n] * (round(_SPREAD * upto / total) - len(table))
    return tuple(table)


def speller(vocabulary: Sequence[str]) -> Callable[[bytes], str]:
    """Return a function that writes packed ids as text: tokens separated by blanks."""
    spelt: Mapping[bytes, str] = {pack_tokens([at]): token for at, token in enumerate(vocabulary)}
    return lambda ids: " ".join([spelt[ids[at : at + TOKEN_BYTES]] for at in range(0, len(ids), TOKEN_BYTES)])
