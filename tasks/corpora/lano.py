"""Write sentences of one of the fixed languages of the family `lano`: the paper's training text, or lessons.

A mark stands before every sentence, as in the questions `generate-*`, so that nothing need come before a question.
"""

from tasks.corpora.base import Option, Options, TokenBlock
from tasks.corpora.formed import Form, FormedCorpus
from tasks.corpora.prompt import N_DOCUMENTS
from tasks.corpora.spelling import END, pack, token_block
from tasks.languages import LANGUAGES, MARK, language
from tasks.stream import Stream


def _vocabulary(options: Options) -> tuple[str, ...]:
    return (END, MARK, *language(str(options["language"])).terminals)


def _write(options: Options, _seed: str, stream: Stream) -> TokenBlock:
    grammar = language(str(options["language"]))
    spelt = {terminal: pack([at]) for at, terminal in enumerate(grammar.terminals, 2)}
    mark, end = pack([1]), pack([0])
    documents = [
        b"".join([mark, *[spelt[terminal] for terminal in grammar.sentence(stream)], end]) for _ in range(N_DOCUMENTS)
    ]
    return token_block(documents)


CORPUS = FormedCorpus(
    "lano",
    1,
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
