"""The corpus depo: rings and questions about them as tokens, or lessons of the family depo.

Ring: x1 y1 x2 y2 ... ?k1 q1 = a1 ?k2 q2 = a2 ...

Each pair x y is an arrow, in random order; `?k q = a` says that a comes k arrows after q. Names have no separators. The
size n of a ring is drawn from 3..N with weight 1 / (n + sqrt(N)), each k uniformly from 1..K; where k exceeds n, the
path goes round more than once.

Reference: Allen-Zhu, Physics of Language Models 4.1 (arXiv 2512.17351), synthetic task Depo.
"""

from functools import cache

from fathom.tasks.corpora.base import Option, Options
from fathom.tasks.corpora.forms import Form, FormedCorpus
from fathom.tasks.corpora.lessons import N_DOCUMENTS
from fathom.tasks.errors import BadOption
from fathom.tasks.graphs.rings import (
    MOST_HOPS,
    RING_ANSWER,
    RING_MARK,
    RING_NAMES,
    draw_ring,
    hop_tokens,
    ring_vocabulary,
)
from fathom.tasks.stream import Stream
from fathom.tasks.tokens import END_BYTES, TOKEN_BYTES, TokenBlock, size_table, token_block

_LEAST = 3  # names of a ring


def _vocabulary(options: Options) -> tuple[str, ...]:
    return ring_vocabulary(str(options["names"]), int(options["k"]))


def _check(options: Options) -> None:
    kind = RING_NAMES[str(options["names"])]
    most = kind.count // 4
    if int(options["n"]) > most:
        raise BadOption(f"depo: n = {options['n']}, but there are {kind.count} {options['names']} names: n <= {most}")


def _write(options: Options, _seed: str, stream: Stream) -> TokenBlock:
    kind, asks = RING_NAMES[str(options["names"])], hop_tokens(str(options["names"]))
    table, k, n_questions = size_table(_LEAST, int(options["n"])), int(options["k"]), int(options["questions"])
    marked = options["learn"] == "answers"
    documents, learnt = [], []
    for word in stream.words(N_DOCUMENTS):
        ring = draw_ring(kind, table[word * len(table) >> 64], stream)
        names, n = ring.names, len(ring.names)
        # Names come in random order, so the first ones are random starts.
        hops = [word * k >> 64 for word in stream.words(min(n_questions, n))]
        starts = [asks[more] + names[at] + RING_ANSWER for at, more in enumerate(hops)]
        answers = [names[(at + more + 1) % n] for at, more in enumerate(hops)]
        follows = [*names[1:], names[0]]
        shown = b"".join([RING_MARK, *[names[at] + follows[at] for at in ring.order]])
        asked = [part for pair in zip(starts, answers, strict=True) for part in pair]
        documents.append(b"".join([shown, *asked, END_BYTES]))
        if marked:
            parts = [bytes(len(shown) // TOKEN_BYTES)]
            parts += [_flags(len(part) // TOKEN_BYTES, at % 2) for at, part in enumerate(asked)]
            learnt.append(b"".join([*parts, b"\1"]))
    return token_block(documents, learnt if marked else None)


@cache
def _flags(size: int, flag: int) -> bytes:
    return bytes([flag]) * size


CORPUS = FormedCorpus(
    "depo",
    2,
    "Rings of names, arrows in random order, and who is k arrows on, token by token; or lessons of the family depo.",
    "Physics of Language Models 4.1 (arXiv 2512.17351), task Depo",
    (
        Form(
            "tokens",
            {
                "names": Option("short", "names of 1-2 tokens (short) or of 5-7 (long)", choices=tuple(RING_NAMES)),
                "n": Option(75, "most names of a ring", 3, 600),
                "k": Option(8, "most hops", 1, MOST_HOPS),
                "questions": Option(10, "questions about one ring, of different starts", 1, 600),
                "learn": Option("answers", "which tokens are learnt", choices=("answers", "all")),
            },
            _write,
            _vocabulary,
            _check,
        ),
    ),
)
