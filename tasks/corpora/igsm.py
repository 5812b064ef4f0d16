"""The corpus igsm: problems with solutions in one line, with or without wrong starts, or lessons of the family igsm."""

from fathom.tasks.corpora.forms import FormedCorpus, retry_form

CORPUS = FormedCorpus(
    "igsm",
    2,
    "Webs of counts, each solved in one line, with wrong starts taken back or none; or lessons of the family igsm.",
    "Physics of Language Models 2.1 (arXiv 2407.20311), iGSM; 2.2 (arXiv 2408.16293)",
    (retry_form(("igsm",), 0.0),),
)
