"""The cells of each suite, as dated literal tables."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cells:
    """Cells of one family: each of the levels, in each of the channels and styles, n items each.

    Names are separated by blanks. Cells are listed by channel, then by level; `by_level` puts the level first.
    """

    family: str
    levels: str
    channels: str
    styles: str
    n: int
    by_level: bool = False


SUITE_VERSION = "2026.12"

_N, _M, _F, _F_LONG = 30, 50, 80, 10  # items per cell; the last one for levels of 4,000 tokens and more

QUICK = (
    Cells("depo", "n4k1 n8k1 n8k2 n8k3 n8k4", "symbol", "direct", _N),
    Cells("depo", "n8k1 n8k2 n8k3 n8k4", "symbol", "cot choice", _N),
    Cells("brevo", "needs1 needs2 needs3 needs4 needs6", "symbol", "direct", _N),
    Cells("mano", "p23l1 p23l4 p23l8", "symbol", "direct cot", _N),
    Cells("lano", "recognise-d2 recognise-d3", "symbol", "direct choice", _N),
    Cells("lano", "complete-d2 complete-d3", "symbol", "direct", _N),
    Cells("lano", "write-d2 write-d3", "symbol", "direct cot", _N),
    Cells("bios", "extract-k2 extract-k5", "symbol story", "direct", _N),
    Cells("bios", "compare-k5 subtract-k5 inverse-k5 count-k5", "symbol", "direct", _N),
    Cells("igsm", "op1 op2 op4 op6", "symbol", "direct cot", _N),
    Cells("repair", "find-op1 find-op2 find-op4", "symbol", "direct", _N),
    Cells("years", "y2k1 y4k1 y4k2 y4k3", "symbol", "direct", _N),
)
"""One minute on two CPU cores with the reference model: a first look at where a model fails."""

STANDARD = (
    Cells("depo", "n16k1 n16k2 n16k3 n16k4 n16k6 n16k8", "symbol story", "direct", _M),
    Cells("depo", "n32k4-joins n64k8-joins", "symbol story", "direct", _M),
    Cells("depo", "n16k4 n16k8 n64k16 n128k32 n256k64", "symbol story", "cot", _M),
    Cells("depo", "n16k1 n16k2 n16k4 n16k8", "symbol", "choice", _M),
    Cells("brevo", "needs4 needs6 needs8 needs12 needs16 needs24", "symbol story", "direct", _M),
    Cells("brevo", "needs8 needs16 needs32 needs64 needs128", "symbol story", "cot", _M),
    Cells("mano", "p23l1 p23l4 p23l6 p23l8", "symbol story", "direct", _M),
    Cells("mano", "p23l4 p23l8 p23l16 p23l32 p23l64", "symbol story", "cot", _M),
    Cells("mano", "p23l1 p23l4", "symbol", "choice", _M),
    Cells("mano", "p23l4-prefix p23l8-prefix", "symbol", "direct cot", _M),
    Cells("lano", "recognise-d2 recognise-d3 recognise-d4 recognise-d5 recognise-d6", "symbol story", "direct cot", _M),
    Cells("lano", "complete-d2 complete-d3 complete-d4 complete-d5", "symbol story", "direct cot", _M),
    Cells("lano", "write-d2 write-d3 write-d4 write-d5", "symbol story", "direct cot", _M),
    Cells("lano", "choose-d2 choose-d3 choose-d4 choose-d5", "symbol", "direct choice", _M),
    Cells("bios", "extract-k2 extract-k5 extract-k20 extract-k100", "story", "direct choice", _M),
    Cells("bios", "dual-k2 dual-k5 dual-k20 dual-k100", "story", "direct", _M),
    Cells("bios", "classify-k2 classify-k5 classify-k20", "symbol story", "direct cot", _M),
    Cells("bios", "compare-k5 compare-k20 compare-k100", "story", "direct cot", _M),
    Cells("bios", "subtract-k5 subtract-k20 subtract-k100", "story", "direct cot", _M),
    Cells("bios", "inverse-k5 inverse-k20 inverse-k100", "story", "direct cot", _M),
    Cells("bios", "count-k5 count-k20 count-k100", "story", "direct cot", _M),
    Cells("igsm", "op2 op4 op6 op8 op10 op12 op15", "symbol story", "direct", _M),
    Cells("igsm", "op4 op8 op12 op18 op25 op40 op70 op100", "symbol story", "cot", _M),
    Cells("igsm", "op4-crowded op10-crowded op18-crowded op30-crowded", "story", "cot", _M),
    Cells("repair", "find-op2 find-op4 find-op8 find-op12 find-op18", "symbol story", "direct", _M),
    Cells("repair", "find-op4 find-op8 find-op12 find-op18 find-op25 find-op50", "symbol story", "cot", _M),
    Cells("years", "y8k1 y8k2 y8k3 y8k4 y8k6 y5k1 y3k2", "symbol story", "direct", _M),
    Cells("years", "y8k2 y8k4 y8k6 y32k3 y32k6", "story", "cot", _M),
    Cells("years", "y8k1-4k y8k2-4k y8k4-4k y8k1-16k y8k2-16k y8k4-16k", "story", "direct cot", _M),
)
"""All families, both channels, from levels that 1B models pass to levels that the best models of 2025 fail."""

FULL = (
    Cells(
        "bios",
        "extract-k2 extract-k5 extract-k20 extract-k100 partial-k2 partial-k5 partial-k20 partial-k100 "
        "dual-k2 dual-k5 dual-k20 dual-k100 classify-k2 classify-k5 classify-k20 classify-k100 compare-k5 "
        "compare-k20 compare-k100 subtract-k5 subtract-k20 subtract-k100 inverse-k5 inverse-k20 inverse-k100 "
        "count-k5 count-k20 count-k100",
        "symbol story",
        "direct cot choice",
        _F,
        by_level=True,
    ),
    Cells(
        "bios",
        "extract-k300 extract-k1000 inverse-k300 inverse-k1000 count-k300 count-k1000",
        "symbol story",
        "direct cot choice",
        _F_LONG,
        by_level=True,
    ),
    Cells(
        "brevo",
        "needs1 needs2 needs3 needs4 needs6 needs8 needs12 needs16 needs24 needs32 needs48",
        "symbol story",
        "direct cot",
        _F,
        by_level=True,
    ),
    Cells(
        "brevo",
        "needs64 needs96 needs128 needs192 needs256",
        "symbol story",
        "direct cot",
        _F_LONG,
        by_level=True,
    ),
    Cells(
        "depo",
        "n4k1 n8k1 n8k2 n8k3 n8k4 n16k1 n16k2 n16k3 n16k4 n16k6 n16k8 n32k1 n32k2 n32k3 n32k4 n32k6 n32k8 "
        "n32k12 n32k16 n64k1 n64k2 n64k3 n64k4 n64k6 n64k8 n64k12 n64k16 n64k24 n64k32 n128k1 n128k2 n128k3 "
        "n128k4 n128k6 n128k8 n128k12 n128k16 n128k24 n128k32 n128k48 n128k64 n256k32 n256k48 "
        "n16k1-long-names n16k2-long-names n16k3-long-names n16k4-long-names n16k6-long-names "
        "n16k8-long-names",
        "symbol story",
        "direct cot choice",
        _F,
        by_level=True,
    ),
    Cells(
        "depo",
        "n256k64 n256k96 n256k128 n512k64 n512k128 n512k256 n1024k64 n1024k128 n1024k192 n1024k256",
        "symbol story",
        "direct cot choice",
        _F_LONG,
        by_level=True,
    ),
    Cells(
        "depo",
        "n16k2-joins n32k2-joins n32k4-joins n32k6-joins n64k8-joins n64k12-joins n128k16-joins "
        "n128k24-joins n256k32-joins",
        "symbol story",
        "direct cot",
        _F,
        by_level=True,
    ),
    Cells(
        "depo",
        "n256k64-joins n512k128-joins n1024k256-joins",
        "symbol story",
        "direct cot",
        _F_LONG,
        by_level=True,
    ),
    Cells(
        "igsm",
        "op1 op2 op4 op6 op8 op10 op12 op15 op18 op21 op25 op30 op40 op4-bare op10-bare op18-bare op30-bare "
        "op4-crowded op10-crowded op18-crowded op30-crowded op4-question-first op10-question-first "
        "op18-question-first op30-question-first op4-reask op10-reask op18-reask op30-reask",
        "symbol story",
        "direct cot choice",
        _F,
        by_level=True,
    ),
    Cells(
        "igsm",
        "op50 op70 op100 op140 op200",
        "symbol story",
        "direct cot choice",
        _F_LONG,
        by_level=True,
    ),
    Cells(
        "lano",
        "recognise-d2 recognise-d3 recognise-d4 recognise-d5 choose-d2 choose-d3 choose-d4 choose-d5 "
        "complete-d2 complete-d3 complete-d4 complete-d5",
        "symbol story",
        "direct cot choice",
        _F,
        by_level=True,
    ),
    Cells(
        "lano",
        "recognise-d6 recognise-d7 recognise-d8 choose-d6 complete-d6 complete-d7",
        "symbol story",
        "direct cot choice",
        _F_LONG,
        by_level=True,
    ),
    Cells(
        "lano",
        "samples-d2 samples-d3 samples-d4 write-d2 write-d3 write-d4 write-d5",
        "symbol story",
        "direct cot",
        _F,
        by_level=True,
    ),
    Cells(
        "lano",
        "write-d6 write-d7 write-d8",
        "symbol story",
        "direct cot",
        _F_LONG,
        by_level=True,
    ),
    Cells(
        "mano",
        "p23l1 p23l2 p23l3 p23l4 p23l6 p23l8 p23l10 p23l13 p23l16 p23l24 p23l32 p5l4 p5l6 p5l8 p5l10 p5l13 "
        "p5l16 p7l4 p7l6 p7l8 p7l10 p7l13 p7l16 p10l4 p10l6 p10l8 p10l10 p10l13 p10l16",
        "symbol story",
        "direct cot choice",
        _F,
        by_level=True,
    ),
    Cells(
        "mano",
        "p23l48 p23l64",
        "symbol story",
        "direct cot choice",
        _F_LONG,
        by_level=True,
    ),
    Cells(
        "mano",
        "p23l1-prefix p23l2-prefix p23l3-prefix p23l4-prefix p23l6-prefix p23l8-prefix p23l10-prefix "
        "p23l13-prefix p23l16-prefix p23l24-prefix p23l32-prefix",
        "symbol",
        "direct cot choice",
        _F,
        by_level=True,
    ),
    Cells(
        "mano",
        "p23l48-prefix p23l64-prefix",
        "symbol",
        "direct cot choice",
        _F_LONG,
        by_level=True,
    ),
    Cells(
        "repair",
        "find-op1 find-op2 find-op4 find-op8 find-op12 find-op18 find-op25 find-op35 find-op50 find-op70 mend-op2 "
        "mend-op4 mend-op8 mend-op12 mend-op18 mend-op25 mend-op35 mend-op50 mend-op70",
        "symbol story",
        "direct cot choice",
        _F,
        by_level=True,
    ),
    Cells(
        "repair",
        "find-op100 mend-op100",
        "symbol story",
        "direct cot choice",
        _F_LONG,
        by_level=True,
    ),
    Cells(
        "repair",
        "mano-op2 mano-op4 mano-op8 mano-op12 mano-op18 mano-op25 mano-op35",
        "symbol",
        "direct cot choice",
        _F,
        by_level=True,
    ),
    Cells(
        "repair",
        "mano-op50",
        "symbol",
        "direct cot choice",
        _F_LONG,
        by_level=True,
    ),
    Cells(
        "years",
        "y2k1 y2k2 y2k3 y2k4 y2k5 y2k6 y4k1 y4k2 y4k3 y4k4 y4k5 y4k6 y8k1 y8k2 y8k3 y8k4 y8k5 y8k6 y16k1 "
        "y16k2 y16k3 y16k4 y16k5 y16k6 y32k1 y32k2 y32k3 y32k4 y32k5 y32k6 y8k1-1k y8k2-1k y8k3-1k y8k4-1k "
        "y8k6-1k y8k1-4k y8k2-4k y8k3-4k y8k4-4k y8k6-4k y5k1 y3k2 y5k1-1k y3k2-1k y5k1-4k y3k2-4k",
        "symbol story",
        "direct cot choice",
        _F,
        by_level=True,
    ),
    Cells(
        "years",
        "y8k1-16k y8k2-16k y8k3-16k y8k4-16k y8k6-16k y8k1-32k y8k2-32k y8k3-32k y8k4-32k y8k6-32k y8k1-64k "
        "y8k2-64k y8k3-64k y8k4-64k y8k6-64k y8k1-128k y8k2-128k y8k3-128k y8k4-128k y8k6-128k y5k1-16k "
        "y3k2-16k y5k1-32k y3k2-32k y5k1-64k y3k2-64k y5k1-128k y3k2-128k y8k1-16k-early y8k2-16k-early "
        "y8k4-16k-early y8k1-16k-middle y8k2-16k-middle y8k4-16k-middle y8k1-16k-late y8k2-16k-late "
        "y8k4-16k-late",
        "symbol story",
        "direct cot choice",
        _F_LONG,
        by_level=True,
    ),
)  # fmt: skip
"""Every level, channel and style that existed at SUITE_VERSION, without the parametric ones."""

TABLES: dict[str, tuple[Cells, ...]] = {"quick": QUICK, "standard": STANDARD, "full": FULL}
"""The suites of SUITE_VERSION. A new family is in none of them until a table of a later version names it."""

_D = 400  # items of a ladder at most, see suites.MOST_OF_LADDER

DEPTH = (
    Cells(
        "depo",
        "n8k1 n8k2 n8k3 n8k4 n16k6 n16k8 n32k12 n32k16 n64k24 n64k32 n128k48 n128k64 n256k96 n256k128",
        "symbol",
        "direct cot",
        _D,
    ),
    Cells(
        "brevo",
        "needs1 needs2 needs3 needs4 needs6 needs8 needs12 needs16 needs24 needs32 needs48 needs64 needs96 needs128 "
        "needs192 needs256",
        "symbol",
        "direct cot",
        _D,
    ),
    Cells(
        "mano",
        "p23l1 p23l2 p23l3 p23l4 p23l6 p23l8 p23l10 p23l13 p23l16 p23l24 p23l32 p23l48 p23l64",
        "symbol",
        "direct cot",
        _D,
    ),
    Cells(
        "lano",
        "recognise-d2 recognise-d3 recognise-d4 recognise-d5 recognise-d6 recognise-d7 recognise-d8",
        "symbol",
        "direct cot",
        _D,
    ),
    Cells("lano", "write-d2 write-d3 write-d4 write-d5 write-d6 write-d7 write-d8", "symbol", "direct cot", _D),
    Cells("bios", "extract-k2 extract-k5 extract-k20 extract-k100 extract-k300", "symbol", "direct cot", _D),
    Cells("bios", "count-k5 count-k20 count-k100 count-k300", "symbol", "direct cot", _D),
    Cells(
        "igsm",
        "op1 op2 op4 op6 op8 op10 op12 op15 op18 op21 op25 op30 op40 op50 op70 op100 op140 op200",
        "symbol",
        "direct cot",
        _D,
    ),
    Cells(
        "repair",
        "find-op1 find-op2 find-op4 find-op8 find-op12 find-op18 find-op25 find-op35 find-op50 find-op70 find-op100",
        "symbol",
        "direct cot",
        _D,
    ),
    Cells("years", "y8k1 y8k2 y8k3 y8k4 y8k5 y8k6", "symbol", "direct cot", _D),
)
"""Whole ladders, whose items are placed as a run goes on: n is the most that a ladder may take. depo's rings are about
twice as long as the way asked for, so that names grow with the hops."""

ADAPTIVE: dict[str, tuple[Cells, ...]] = {"depth": DEPTH}
"""Suites of SUITE_VERSION that decide while they run which items are asked; see harness.runs.adaptive."""
