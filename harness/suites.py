"""Say which cells each suite asks: literal tables, dated by VERSION.

Any change of a table raises VERSION, so that numbers of the same suite and version can be compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass

VERSION = "2026.2"


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


_N = 30
QUICK = (
    Block("depo", "n4k1 n4k2 n4k3 n8k1 n8k2 n8k3 n8k4 n8k6", "symbol", "direct", _N),
    Block("depo", "n8k1 n8k2 n8k3 n8k4 n8k6", "symbol", "cot choice", _N),
    Block("brevo", "n4 n6 n8 n12", "symbol", "direct", _N),
    Block("mano", "p23l1 p23l2 p23l4", "symbol", "direct cot", _N),
    Block("lano", "recognise-d2 recognise-d3", "symbol", "direct choice", _N),
    Block("lano", "complete-d2 complete-d3", "symbol", "direct", _N),
    Block("lano", "write-d2 write-d3", "symbol", "direct cot", _N),
    Block("bios", "extract-k1 extract-k5", "symbol story", "direct", _N),
    Block("bios", "compare-k5 subtract-k5 inverse-k5 count-k5", "symbol", "direct", _N),
    Block("igsm", "op2 op4 op6 op8", "symbol", "direct cot", _N),
    Block("repair", "find-op2 find-op4", "symbol", "direct", _N),
    Block("years", "y2k1 y4k1 y4k2 y4k3", "symbol", "direct", _N),
)
"""A minute on two CPU cores with the reference model: does everything work, and where does it break at once?"""

_M = 50
STANDARD = (
    Block("depo", "n16k1 n16k2 n16k3 n16k4 n16k6 n16k8 n16k12", "symbol story", "direct", _M),
    Block("depo", "n16k4 n16k8 n64k16 n128k32", "symbol story", "cot", _M),
    Block("depo", "n16k1 n16k2 n16k4 n16k8", "symbol", "choice", _M),
    Block("brevo", "n8 n12 n16 n24 n32", "symbol story", "direct", _M),
    Block("brevo", "n8 n16 n32 n64", "symbol story", "cot", _M),
    Block("mano", "p23l1 p23l2 p23l3 p23l4 p23l6 p23l8", "symbol story", "direct", _M),
    Block("mano", "p23l2 p23l4 p23l8 p23l16", "symbol story", "cot", _M),
    Block("mano", "p23l1 p23l2 p23l4", "symbol", "choice", _M),
    Block("mano", "p23l2-prefix p23l4-prefix p23l8-prefix", "symbol", "direct cot", _M),
    Block("lano", "recognise-d2 recognise-d3 recognise-d4 recognise-d5", "symbol story", "direct cot", _M),
    Block("lano", "complete-d2 complete-d3 complete-d4", "symbol story", "direct cot", _M),
    Block("lano", "write-d2 write-d3 write-d4 write-d5", "symbol story", "direct cot", _M),
    Block("lano", "choose-d2 choose-d3 choose-d4 choose-d5", "symbol", "direct choice", _M),
    Block("bios", "extract-k1 extract-k5 extract-k20 extract-k100", "story", "direct choice", _M),
    Block("bios", "dual-k1 dual-k5 dual-k20 dual-k100", "story", "direct", _M),
    Block("bios", "classify-k1 classify-k5 classify-k20", "symbol story", "direct cot", _M),
    Block("bios", "compare-k5 compare-k20 compare-k100", "story", "direct cot", _M),
    Block("bios", "subtract-k5 subtract-k20 subtract-k100", "story", "direct cot", _M),
    Block("bios", "inverse-k5 inverse-k20 inverse-k100", "story", "direct cot", _M),
    Block("bios", "count-k5 count-k20 count-k100", "story", "direct cot", _M),
    Block("igsm", "op2 op4 op6 op8 op10 op12 op15", "symbol story", "direct", _M),
    Block("igsm", "op4 op8 op12 op15 op18 op21 op25 op30 op40", "symbol story", "cot", _M),
    Block("igsm", "op4-crowded op10-crowded op18-crowded op30-crowded", "story", "cot", _M),
    Block("repair", "find-op2 find-op4 find-op8 find-op12 find-op18", "symbol story", "direct", _M),
    Block("repair", "find-op4 find-op8 find-op12 find-op18 find-op25", "symbol story", "cot", _M),
    Block("years", "y8k1 y8k2 y8k3 y8k4 y8k6", "symbol story", "direct", _M),
    Block("years", "y8k2 y8k4 y8k6 y32k3 y32k6", "story", "cot", _M),
    Block("years", "y8k1-4k y8k2-4k y8k4-4k y8k1-16k y8k2-16k y8k4-16k", "story", "direct cot", _M),
)
"""All families, both channels, from levels that 1B models pass to levels that 70B models fail."""

TABLES: Mapping[str, tuple[Block, ...]] = {"quick": QUICK, "standard": STANDARD}

FULL_N, FULL_LONG_N = 80, 20
"""The suite `full` asks every level in every channel and style, except `free`: items a cell, and
items a cell of levels that are as long as FULL_LONG tokens or longer."""
FULL_LONG = 4000
