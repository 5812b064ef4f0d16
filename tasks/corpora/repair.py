"""The corpus repair: solutions in which wrong starts are taken back, or lessons of the family repair."""

from fathom.tasks.arithmetic.retry import PROBLEM_KINDS
from fathom.tasks.corpora.forms import FormedCorpus, retry_form

CORPUS = FormedCorpus(
    "repair",
    2,
    "Problems solved in one line, in which wrong starts are taken back by [BACK]; or lessons of the family repair.",
    "Physics of Language Models 2.2 (arXiv 2408.16293), retry data",
    (retry_form(PROBLEM_KINDS, 0.2),),
)
