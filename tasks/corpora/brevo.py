"""The corpus brevo: dependencies and the needs of a goal as tokens, or lessons of the family brevo.

Needs: a1 b1 a2 b2 ... ? q = v1 v2 ... q

Each pair a b, in random order, says that b needs a; after `=` come all that q needs and q itself, each after all its
needs, in the order in which the graph was drawn. Names are single tokens, v0, v1 ..., or of 2-4 tokens without
separators. n is drawn from 4..N with weight 1 / (n + sqrt(N)).

Reference: Allen-Zhu, Physics of Language Models 4.1 (arXiv 2512.17351), synthetic task Brevo.
"""

from collections.abc import Mapping

from fathom.tasks.corpora.base import Option, Options
from fathom.tasks.corpora.forms import Form, FormedCorpus
from fathom.tasks.corpora.lessons import N_DOCUMENTS
from fathom.tasks.errors import BadOption
from fathom.tasks.graphs.needs import LEAST, MULTI, NEEDS_KINDS, NEEDS_MARKS, draw_needs, needs_vocabulary
from fathom.tasks.stream import Stream
from fathom.tasks.tokens import END_BYTES, TOKEN_BYTES, TokenBlock, size_table, token_block

_MOST = 200
_MARK, _ASK, _IS = NEEDS_MARKS


def _vocabulary(options: Options) -> tuple[str, ...]:
    return needs_vocabulary(str(options["names"]), int(options["n"]))


def _check(options: Options) -> None:
    most = MULTI.count // 4
    if options["names"] == "multi" and int(options["n"]) > most:
        raise BadOption(f"brevo: n = {options['n']}, but there are {MULTI.count} names of 2-4 tokens: n <= {most}")


def _write(options: Options, _seed: str, stream: Stream) -> TokenBlock:
    names, most = str(options["names"]), int(options["n"])
    table, marked = size_table(LEAST, most), options["learn"] == "answers"
    documents, learnt = [], []
    for word in stream.words(N_DOCUMENTS):
        edges, query, answer = draw_needs(names, table[word * len(table) >> 64], most, stream)
        asked = b"".join([_MARK, *[a + b for a, b in edges], _ASK, query, _IS])
        said = b"".join([*answer, END_BYTES])
        documents.append(asked + said)
        learnt.append(bytes(len(asked) // TOKEN_BYTES) + b"\1" * (len(said) // TOKEN_BYTES))
    return token_block(documents, learnt if marked else None)


_OPTIONS: Mapping[str, Option] = {
    "names": Option("single", "names of one token, or of 2-4 (multi)", choices=NEEDS_KINDS),
    "n": Option(70, "most vertices", LEAST, _MOST),
    "learn": Option("answers", "which tokens are learnt", choices=("answers", "all")),
}

CORPUS = FormedCorpus(
    "brevo",
    2,
    "What needs what, and all that a goal needs in an order that works, in tokens; or lessons of the family brevo.",
    "Physics of Language Models 4.1 (arXiv 2512.17351), task Brevo",
    (Form("tokens", _OPTIONS, _write, _vocabulary, _check),),
)
