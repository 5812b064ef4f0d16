"""The corpora by name."""

from functools import cache

import fathom.tasks.corpora as package
from fathom.tasks.corpora.base import Corpus
from fathom.tasks.errors import UnknownCorpus
from fathom.tasks.registry import load_plugins

_HELPERS = ("base", "forms", "lessons", "registry")


@cache
def all_corpora() -> dict[str, Corpus]:
    """Return all corpora by name, in alphabetical order."""
    return load_plugins(package, "CORPUS", besides=_HELPERS)


def find_corpus(name: str) -> Corpus:
    """Return the corpus of that name, or raise UnknownCorpus."""
    known = all_corpora()
    if name not in known:
        raise UnknownCorpus(f"no corpus {name!r}; known: {', '.join(known)}")
    return known[name]
