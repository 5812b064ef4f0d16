"""The corpus bios: biographies of a population and questions about half of it, or lessons of the family bios.

The people are those of `Population(seed)` for the corpus's seed; each document is about a random one. Each person has
`wordings` texts, which differ in the wording of every sentence: 1 is the paper's form single, M are multiM.
Questions with answers are about the first half of the people only, in the form in which the family recall asks about
the other half (`people/closed_book.py`).

Reference: Allen-Zhu and Li, Physics of Language Models 3.1 (arXiv 2309.14316), section 2; 3.2 (arXiv 2309.14402).
"""

from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from fathom.tasks.corpora.base import Option, Options, Pairs, TextBlock
from fathom.tasks.corpora.forms import Form, FormedCorpus
from fathom.tasks.corpora.lessons import N_DOCUMENTS
from fathom.tasks.errors import BadOption
from fathom.tasks.people.biography import ORDERS, biography, reversed_biography
from fathom.tasks.people.closed_book import LEAST_PEOPLE, choose_crowd, draw_question, kinds_of, question_document
from fathom.tasks.people.population import N_NAMES, Person, Population
from fathom.tasks.people.wordings import person_wordings as wordings_of
from fathom.tasks.stream import Stream

MOST_WORDINGS = 40
_CACHED = 1 << 17  # people: 70 MB, or 250 MB with 40 wordings each


class _Entry(NamedTuple):
    """A person and their wordings."""

    person: Person
    wordings: tuple[int, ...]


@lru_cache(maxsize=_CACHED)  # making a person takes ten times as long as writing a biography
def _entry(seed: str, person: int, wordings: int) -> _Entry:
    """Return a person of a population with this many wordings; a larger number starts with the same ones."""
    return _Entry(Population(seed).person(person), wordings_of(seed, person, wordings))


def _check(options: Options) -> None:
    if options["reversed"] and options["fullname"]:
        raise BadOption("bios: where the name comes last (reversed), it cannot be in every sentence (fullname)")
    if options["qa"]:
        kinds_of(str(options["tasks"]))
        if int(options["population"]) < LEAST_PEOPLE:
            raise BadOption(f"bios: questions are about half of the people: give {LEAST_PEOPLE} or more (population)")
    elif options["hint"]:
        raise BadOption("bios: hint belongs to questions: set qa, the share of documents that are questions")


def _write(options: Options, seed: str, stream: Stream) -> TextBlock:
    n_people, n_wordings = int(options["population"]), int(options["wordings"])
    n_orders = len(ORDERS) if options["permute"] else 1
    rare = int(float(options["qa"]) * (1 << 64))
    kinds = kinds_of(str(options["tasks"])) if rare else ()
    asked = replace(
        choose_crowd(seed, n_people, trained=True), person=lambda index: _entry(seed, index, n_wordings).person
    )
    backwards, full_name = bool(options["reversed"]), bool(options["fullname"])
    documents: list[Pairs] = []
    picks, ways = stream.words(N_DOCUMENTS), stream.words(N_DOCUMENTS)
    kind_words = stream.words(N_DOCUMENTS) if rare else [1 << 64] * N_DOCUMENTS
    for pick, way, kind in zip(picks, ways, kind_words, strict=True):
        if kind < rare:
            quiz = draw_question(kinds[way * len(kinds) >> 64], asked, stream, hint=bool(options["hint"]))
            documents.append(question_document(quiz))
            continue
        who, wordings = _entry(seed, pick * n_people >> 64, n_wordings)
        which, order = divmod(way * (n_wordings * n_orders) >> 64, n_orders)
        if backwards:
            documents.append([("", reversed_biography(who, wordings[which], order))])
        else:
            documents.append([("", biography(who, wordings[which], order, full_name=full_name))])
    return TextBlock(tuple(documents))


CORPUS = FormedCorpus(
    "bios",
    3,
    "Biographies of a population of invented people, and questions about half of it; or lessons of the family bios.",
    "Physics of Language Models 3.1 and 3.2 (arXiv 2309.14316, 2309.14402), bioS",
    (
        Form(
            "population",
            {
                "population": Option(1_000, "people, those of the corpus's seed", 1, N_NAMES),
                "wordings": Option(1, "texts of each person; 1 is the form single", 1, MOST_WORDINGS),
                "permute": Option(0, "1: sentences in a new order every time", 0, 1),
                "fullname": Option(0, "1: every sentence names its person", 0, 1),
                "reversed": Option(0, "1: the name comes last", 0, 1),
                "qa": Option(0.0, "share of documents that are a question about the first half of the people", 0, 1),
                "tasks": Option(
                    "extract",
                    "kinds of questions: extract partial dual classify compare subtract inverse",
                ),
                "hint": Option(0, "1: answers first state the facts that they depend on", 0, 1),
            },
            _write,
            check=_check,
        ),
    ),
)
