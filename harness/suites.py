"""Say which cells each suite asks: literal tables, dated by VERSION.

Any change of a table raises VERSION, so that numbers of the same suite and version can be compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass

VERSION = "2026.1"


@dataclass(frozen=True, slots=True)
class Block:
    """Cells of one family: each of the levels, in each of the channels and styles, n items each.

    Names are separated by blanks.
    """

    family: str
    levels: str
    channels: str
    styles: str
    n: int


QUICK = (
    Block("depo", "n4k1 n4k2 n4k3 n8k1 n8k2 n8k3 n8k4 n8k6", "symbol", "direct", 30),
    Block("depo", "n8k1 n8k2 n8k3 n8k4 n8k6", "symbol", "cot choice", 30),
)

STANDARD = (Block("depo", "n8k1 n8k2 n8k4 n16k1 n16k2 n16k4 n16k8", "symbol story", "direct cot", 50),)

TABLES: Mapping[str, tuple[Block, ...]] = {"quick": QUICK, "standard": STANDARD}

FULL_N, FULL_LONG_N = 80, 20
"""The suite `full` asks every level in every channel and style, except `free`: items a cell, and
items a cell of levels that are as long as FULL_LONG tokens or longer."""
FULL_LONG = 4000
