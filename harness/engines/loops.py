"""Find texts that repeat themselves without end, so that no budget is spent on them."""

from collections.abc import Sequence

_SIGNS = 16
"""Signs at the end of a text, whose last occurrence before gives the length of what is repeated."""
_TIMES = 4
"""How often a part is written one after the other in a loop."""
_LONGEST = 1024
"""Signs of a part that is repeated."""
LOOP_TOKENS, LOOP_CHARACTERS = 128, 512
"""Least length of a loop: a right answer may repeat a letter 81 times."""
CHECK_EVERY = 64
"""Tokens after which an engine looks for a loop again."""


def ends_in_loop(text: str, least: int = LOOP_CHARACTERS) -> bool:
    """Say whether a text ends with a part that is repeated four times or more, over `least` signs at least."""
    tail = text[-_TIMES * _LONGEST :]
    before = tail.rfind(tail[-_SIGNS:], 0, -1) if len(tail) >= least else -1
    if before < 0:
        return False
    period = len(tail) - _SIGNS - before
    span = max(least, _TIMES * period)
    return len(tail) >= span and tail[-span:-period] == tail[-span + period :]


def tokens_end_in_loop(ids: Sequence[int]) -> bool:
    """Say the same of token ids: each becomes a character, so that texts are compared, which is fast."""
    return ends_in_loop("".join(map(chr, ids[-_TIMES * _LONGEST :])), LOOP_TOKENS)
