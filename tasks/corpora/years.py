"""The corpus years: lessons of the family years."""

from fathom.tasks.corpora.forms import FormedCorpus

CORPUS = FormedCorpus(
    "years",
    3,
    "Lessons of the family years: years of birth, some statements away, in a text with filler.",
    "Physics of Language Models 4.1 (arXiv 2512.17351), multi-hop birth years",
)
