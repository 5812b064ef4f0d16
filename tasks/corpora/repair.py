"""Write lessons of the family `repair`."""

from tasks.corpora.formed import FormedCorpus

CORPUS = FormedCorpus(
    "repair",
    1,
    "Lessons of the family repair: written solutions, and which step is the first wrong one.",
    "Physics of Language Models 2.2 (arXiv 2408.16293)",
)
