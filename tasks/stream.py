"""Endless streams of random choices, each determined by its name.

A stream is the output of SHAKE128 over its name and a block counter, so any item can be made alone, in any order, in
any process, and two names never share a stream (FIPS 202: an extendable output function keyed by its prefix; five
times as fast here as BLAKE2b block by block). Python does not promise that `random.shuffle` and similar functions give
the same results in every version; here every choice is defined to the bit and pinned by golden digests.
"""

import re
from collections.abc import Iterable, Sequence
from hashlib import shake_128
from struct import Struct
from typing import TypeVar

from fathom.tasks.errors import BadSeed

_T = TypeVar("_T")

_WORD_BITS = 64
_BLOCK = Struct("<32Q")
_SEED = re.compile(r"(?:0x)?([0-9a-f]+)")


def canonical_seed(seed: int | str) -> str:
    """Return the canonical text of a seed: the decimal digits of an int, or lower-case hex.

    The text is the seed: `7` and `"7"` are the same seed, `"07"` is another one.

    Raises:
        BadSeed: a negative number, or a text that is neither decimal nor hex digits.
    """
    text = str(seed).strip().lower()
    found = None if isinstance(seed, bool) else _SEED.fullmatch(text)
    if found is None:
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise BadSeed(f"{shown!r} is not a seed: give a whole number >= 0 or hex digits, as in 7 or 9f3c")
    return found[1]


class Stream:
    """Reproducible random choices; streams with different names are independent.

    `name` is any sequence of texts and numbers. Parts are length-prefixed before hashing, so
    ("ab", "c") and ("a", "bc") differ. `seed`, `role` and `index` do not affect the choices: they tell a family which
    population an item is about, and which half of it, and which of few questions is asked, so that none comes twice.
    """

    __slots__ = ("_block", "_name", "_spare", "index", "role", "seed")

    def __init__(self, *name: str | int, seed: str = "0", role: str = "train", index: int | None = None) -> None:
        self.seed, self.role, self.index = seed, role, index
        parts = [str(part) for part in name]
        self._name = "".join([f"{len(part)}:{part}" for part in parts]).encode() + b"#"
        self._block = 0
        self._spare: list[int] = []

    def words(self, count: int) -> list[int]:
        """Return the next `count` uniform 64-bit integers."""
        spare = self._spare
        while len(spare) < count:
            block = shake_128(b"%s%d" % (self._name, self._block)).digest(_BLOCK.size)
            spare.extend(_BLOCK.unpack(block))
            self._block += 1
        self._spare = spare[count:]
        return spare[:count]

    def below(self, bound: int) -> int:
        """Return a whole number in 0..bound-1; its distribution is uniform to within bound / 2**64."""
        if bound < 1:
            raise ValueError(f"below() needs a bound of 1 or more, not {bound}")
        return self.words(1)[0] * bound >> _WORD_BITS

    def choice(self, options: Sequence[_T]) -> _T:
        """Return one of `options`, each equally likely."""
        return options[self.below(len(options))]

    def shuffle(self, items: Iterable[_T]) -> list[_T]:
        """Return the items as a new list in uniformly random order.

        Sorts by 64-bit keys: among n items, two keys are equal (and keep their order) with probability below n**2 /
        2**65.
        """
        known = list(items)
        keys = self.words(len(known))
        return [known[at] for at in sorted(range(len(known)), key=keys.__getitem__)]

    def distinct(self, count: int, bound: int) -> list[int]:
        """Return `count` different whole numbers of 0..bound-1 in random order.

        Draws with replacement and keeps first occurrences: slow where count is close to bound.
        """
        if count > bound:
            raise ValueError(f"cannot draw {count} different numbers below {bound}")
        seen: dict[int, None] = {}
        while len(seen) < count:
            fresh = [word * bound >> _WORD_BITS for word in self.words(count - len(seen))]
            seen.update(dict.fromkeys(fresh))
        return list(seen)

    def sample(self, options: Sequence[_T], count: int) -> list[_T]:
        """Return `count` of `options` without replacement, in random order."""
        if count * 4 > len(options):
            return self.shuffle(options)[:count]
        return [options[at] for at in self.distinct(count, len(options))]
