"""Write needs and what a goal needs token by token, in the form of the paper; or lessons of the family `brevo`.

Needs: a1 b1 a2 b2 ... ? q = v1 v2 ... q

Each pair a b, in random order, says that b needs a; after `=` stand all that q needs and q, each after all its needs:
in the order in which the graph grew. The graph is that of the family. Names are single tokens, v0, v1 ..., or of 2-4
tokens that need nothing between them, see `tasks/corpora/spelling.py`. n is drawn by 1 / (n + sqrt(N)) from 4..N.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from fathom.tasks.corpora.base import Option, Options
from fathom.tasks.corpora.forms import Form, FormedCorpus
from fathom.tasks.corpora.lessons import N_DOCUMENTS
from fathom.tasks.errors import BadOption
from fathom.tasks.families.brevo import draw_graph, needed
from fathom.tasks.stream import Stream
from fathom.tasks.tokens import BYTES, END, Names, TokenBlock, pack, sizes, speller, token_block

MARK, ASK, IS = "Needs:", "?", "="
_FIRST = 4  # id of the first name
NAMES = ("single", "multi")
_MULTI = Names(_FIRST, 4, 4, 2, 4)
MOST = 200
_LEAST = 4
_MARK, _ASK, _IS, _END = pack([1]), pack([2]), pack([3]), pack([0])


class Posed(NamedTuple):
    """One problem as text: tokens with blanks between them. The second of an edge needs the first."""

    question: str
    answer: str
    edges: list[tuple[str, str]]  # as shown
    query: str


class _Drawn(NamedTuple):
    """A problem in tokens, packed: pairs of names as shown, what is asked, and a right answer."""

    edges: list[bytes]
    query: bytes
    answer: list[bytes]


@cache
def tokens(names: str, n: int) -> tuple[str, ...]:
    """Return the vocabulary for names single (n different ones) or multi."""
    return (END, MARK, ASK, IS, *([f"v{at}" for at in range(n)] if names == "single" else _MULTI.letters))


@cache
def _singles(n: int) -> list[bytes]:
    return [pack([_FIRST + at]) for at in range(n)]


def _pick(pool: list[bytes], n: int, stream: Stream) -> list[bytes]:
    """Return n of the pool in random order; the pool loses them."""
    size, picked = len(pool), []
    for word in stream.words(n):
        picked.append(pool.pop(word * size >> 64))
        size -= 1
    return picked


def _draw(names: str, n: int, most: int, stream: Stream) -> _Drawn:
    drawn = _MULTI.draw(stream, n) if names == "multi" else _pick(_singles(most)[:], n, stream)
    word, *words = stream.words(n + 1)
    parents = draw_graph(words).parents
    query = n - 1 - word % (n // 4)
    edges = [drawn[a] + drawn[b] for b, some in enumerate(parents) for a in some]
    return _Drawn(stream.shuffle(edges), drawn[query], [drawn[v] for v in needed(parents, query)])


def pose(names: str, n: int, most: int, stream: Stream) -> Posed:
    """Draw one problem of n vertices, as a document of the corpus holds it whose option n is `most`."""
    drawn = _draw(names, n, most, stream)
    spell = speller(tokens(names, most))
    shown, query = spell(b"".join(drawn.edges)), spell(drawn.query)
    ends = read_names(shown) or []
    edges = list(zip(ends[::2], ends[1::2], strict=True))
    return Posed(f"{MARK} {shown} {ASK} {query} {IS}", " ".join(map(spell, drawn.answer)), edges, query)


def read_names(text: str) -> list[str] | None:
    """Read the names of an answer of either kind; None if a token is no part of one, or the last name has no end."""
    names: list[str] = []
    open_name: list[str] = []
    for token in text.split():
        open_name.append(token)
        if token.startswith(("v", "z")):
            names.append(" ".join(open_name))
            open_name = []
        elif not token.startswith("a"):
            return None
    return None if open_name else names


def _vocabulary(options: Options) -> tuple[str, ...]:
    return tokens(str(options["names"]), int(options["n"]))


def _check(options: Options) -> None:
    most = _MULTI.count // 4
    if options["names"] == "multi" and int(options["n"]) > most:
        raise BadOption(f"brevo: n = {options['n']}, but there are {_MULTI.count} names of 2-4 tokens: n <= {most}")


def _write(options: Options, _seed: str, stream: Stream) -> TokenBlock:
    names, most = str(options["names"]), int(options["n"])
    table, marked = sizes(_LEAST, most), options["learn"] == "answers"
    documents, learnt = [], []
    for word in stream.words(N_DOCUMENTS):
        edges, query, answer = _draw(names, table[word * len(table) >> 64], most, stream)
        asked = b"".join([_MARK, *edges, _ASK, query, _IS])
        said = b"".join([*answer, _END])
        documents.append(asked + said)
        learnt.append(bytes(len(asked) // BYTES) + b"\1" * (len(said) // BYTES))
    return token_block(documents, learnt if marked else None)


_OPTIONS: Mapping[str, Option] = {
    "names": Option("single", "names of one token, or of 2-4 (multi)", choices=NAMES),
    "n": Option(70, "most vertices", _LEAST, MOST),
    "learn": Option("answers", "which tokens are learnt", choices=("answers", "all")),
}

CORPUS = FormedCorpus(
    "brevo",
    1,
    "What needs what, and all that a goal needs in an order that works, in tokens; or lessons of the family brevo.",
    "Physics of Language Models 4.1 (arXiv 2512.17351), task Brevo",
    (Form("tokens", _OPTIONS, _write, _vocabulary, _check),),
)
