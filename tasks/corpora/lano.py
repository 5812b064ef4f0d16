"""The corpus lano: sentences of one of the fixed languages, or lessons of the family lano.

A mark stands before every sentence, as in the questions `generate-*`, so that a question needs no context.

Reference: Allen-Zhu, Physics of Language Models 1 (arXiv 2305.13673), section 2.
"""

from fathom.tasks.corpora.base import Option, Options
from fathom.tasks.corpora.forms import Form, FormedCorpus
from fathom.tasks.corpora.lessons import N_DOCUMENTS
from fathom.tasks.grammars.languages import LANGUAGES, SENTENCE_MARK, language
from fathom.tasks.stream import Stream
from fathom.tasks.tokens import END, TokenBlock, pack_tokens, token_block


def _vocabulary(options: Options) -> tuple[str, ...]:
    return (END, SENTENCE_MARK, *language(str(options["language"])).terminals)


def _write(options: Options, _seed: str, stream: Stream) -> TokenBlock:
    grammar = language(str(options["language"]))
    spelt = {terminal: pack_tokens([at]) for at, terminal in enumerate(grammar.terminals, 2)}
    mark, end = pack_tokens([1]), pack_tokens([0])
    documents = [
        b"".join([mark, *[spelt[terminal] for terminal in grammar.sentence(stream)], end]) for _ in range(N_DOCUMENTS)
    ]
    return token_block(documents)


CORPUS = FormedCorpus(
    "lano",
    2,
    "Sentences of a language that a hierarchical grammar defines, token by token; or lessons of the family lano.",
    "Physics of Language Models 1 (arXiv 2305.13673), section 2",
    (
        Form(
            "tokens",
            {"language": Option("f", "which language", choices=tuple(LANGUAGES))},
            _write,
            _vocabulary,
        ),
    ),
)
