"""Find the corpora: every module of `tasks/corpora` that defines `CORPUS`."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import fathom.tasks.corpora as package
from fathom.tasks.corpora.base import Corpus
from fathom.tasks.errors import UnknownCorpus


@cache
def all_corpora() -> dict[str, Corpus]:
    """Return all corpora by name, in alphabetical order."""
    modules = [import_module(f"fathom.tasks.corpora.{entry.name}") for entry in iter_modules(package.__path__)]
    found: list[Corpus] = [module.CORPUS for module in modules if hasattr(module, "CORPUS")]
    return {corpus.name: corpus for corpus in sorted(found, key=lambda one: one.name)}


def find_corpus(name: str) -> Corpus:
    """Return the corpus of that name, or raise UnknownCorpus."""
    known = all_corpora()
    if name not in known:
        raise UnknownCorpus(f"no corpus {name!r}; known: {', '.join(known)}")
    return known[name]
