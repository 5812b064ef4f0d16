"""Write rings and questions about them token by token, in the form of the paper; or lessons of the family `depo`.

Ring: x1 y1 x2 y2 ... ?k1 q1 = a1 ?k2 q2 = a2 ...

Each pair x y is an arrow, in random order; `?k q = a` says that a comes k arrows after q. All names are tokens that
need nothing between them, see `tasks/corpora/spelling.py`. A ring's size n is drawn by 1 / (n + sqrt(N)) from 3..N,
each k uniformly from 1..K (also more than n: then round and round).
"""

from functools import cache
from typing import NamedTuple

from tasks.corpora.base import Option, Options, TokenBlock
from tasks.corpora.formed import Form, FormedCorpus
from tasks.corpora.prompt import N_DOCUMENTS
from tasks.corpora.spelling import BYTES, END, Names, pack, sizes, speller, token_block
from tasks.errors import BadOption
from tasks.stream import Stream

MARK, IS = "Ring:", "="
NAMES = {"short": Names(3, 50, 50, 1, 2), "long": Names(3, 4, 4, 5, 7)}
"""Part 4.1: names of 1-2 tokens out of 50 + 50, or of 5-7 tokens out of few."""

MOST_HOPS = 64
_LEAST = 3
_MARK, _IS, _END = pack([1]), pack([2]), pack([0])


class Ring(NamedTuple):
    """A ring in tokens, packed: `names` follow each other; `order` says in which order their arrows are shown."""

    names: list[bytes]
    order: list[int]


class Posed(NamedTuple):
    """One problem as text: tokens with blanks between them. Edges lead from the first name to the second."""

    question: str
    answer: str
    edges: list[tuple[str, str]]  # as shown
    start: str


@cache
def tokens(names: str, k: int) -> tuple[str, ...]:
    """Return the vocabulary for names short or long and up to k hops."""
    return (END, MARK, IS, *NAMES[names].letters, *[f"?{hops}" for hops in range(1, k + 1)])


@cache
def _hop_tokens(names: str) -> list[bytes]:
    first = len(tokens(names, 0))
    return [pack([first + hops]) for hops in range(MOST_HOPS)]  # of 1 hop, 2 hops ...


def _draw(kind: Names, n: int, stream: Stream) -> Ring:
    names = kind.draw(stream, n)
    keys = stream.words(n)
    return Ring(names, sorted(range(n), key=keys.__getitem__))


def pose(names: str, n: int, hops: int, stream: Stream) -> Posed:
    """Draw one problem, as a document of the corpus begins: a ring of n names short or long, and one question.

    Question and answer joined by a blank are what training text holds, up to the first answer. There the next
    question follows: read a model's answer by `first_name`.
    """
    ring = _draw(NAMES[names], n, stream)
    spell = speller(tokens(names, hops))
    spelt = [spell(name) for name in ring.names]
    edges = [(spelt[at], spelt[(at + 1) % n]) for at in ring.order]
    shown = " ".join([name for edge in edges for name in edge])
    # Of the first names drawn more are short than of all, so that one short name would be the best constant guess.
    at = stream.below(n)
    return Posed(f"{MARK} {shown} ?{hops} {spelt[at]} {IS}", spelt[(at + hops) % n], edges, spelt[at])


def first_name(text: str) -> str | None:
    """Return the first name of a text of tokens, up to the token that ends it, or None if there is none."""
    name: list[str] = []
    for token in text.split():
        if not token.startswith(("a", "z")):
            return None
        name.append(token)
        if token.startswith("z"):
            return " ".join(name)
    return None


def _vocabulary(options: Options) -> tuple[str, ...]:
    return tokens(str(options["names"]), int(options["k"]))


def _check(options: Options) -> None:
    kind = NAMES[str(options["names"])]
    most = kind.count // 4
    if int(options["n"]) > most:
        raise BadOption(f"depo: n = {options['n']}, but there are {kind.count} {options['names']} names: n <= {most}")


def _write(options: Options, _seed: str, stream: Stream) -> TokenBlock:
    kind, asks = NAMES[str(options["names"])], _hop_tokens(str(options["names"]))
    table, k, n_questions = sizes(_LEAST, int(options["n"])), int(options["k"]), int(options["questions"])
    marked = options["learn"] == "answers"
    documents, learnt = [], []
    for word in stream.words(N_DOCUMENTS):
        ring = _draw(kind, table[word * len(table) >> 64], stream)
        names, n = ring.names, len(ring.names)
        # Names come in random order, so the first ones are random starts.
        hops = [word * k >> 64 for word in stream.words(min(n_questions, n))]
        starts = [asks[more] + names[at] + _IS for at, more in enumerate(hops)]
        answers = [names[(at + more + 1) % n] for at, more in enumerate(hops)]
        follows = [*names[1:], names[0]]
        shown = b"".join([_MARK, *[names[at] + follows[at] for at in ring.order]])
        asked = [part for pair in zip(starts, answers, strict=True) for part in pair]
        documents.append(b"".join([shown, *asked, _END]))
        if marked:
            parts = [bytes(len(shown) // BYTES)]
            parts += [_flags(len(part) // BYTES, at % 2) for at, part in enumerate(asked)]
            learnt.append(b"".join([*parts, b"\1"]))
    return token_block(documents, learnt if marked else None)


@cache
def _flags(size: int, flag: int) -> bytes:
    return bytes([flag]) * size


CORPUS = FormedCorpus(
    "depo",
    1,
    "Rings of names, arrows in random order, and who is k arrows on, token by token; or lessons of the family depo.",
    "Physics of Language Models 4.1 (arXiv 2512.17351), task Depo",
    (
        Form(
            "tokens",
            {
                "names": Option("short", "names of 1-2 tokens (short) or of 5-7 (long)", choices=tuple(NAMES)),
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
