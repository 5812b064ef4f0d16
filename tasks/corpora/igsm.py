"""Write lessons of the family `igsm`."""

from tasks.corpora.formed import FormedCorpus

CORPUS = FormedCorpus(
    "igsm",
    1,
    "Lessons of the family igsm: problems of exactly so many operations, posed and solved.",
    "Physics of Language Models 2.1 (arXiv 2407.20311), iGSM",
)
