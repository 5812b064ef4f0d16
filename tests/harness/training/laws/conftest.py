"""A law of two tiny models that are trained and evaluated in seconds."""

from pathlib import Path

import pytest

from fathom.harness.training.laws.base import Conclusion, Condition, Law, LawQuestion, lead_verdict
from fathom.harness.training.laws.results import ExperimentResults, newcombe

_RECIPES = """
seed = "5"
steps = 6
batch = 2
learning_rate = 1e-3
warmup = 2
exam_every = 3
vocabulary = 400

[shape]
hidden = 16
layers = 1
heads = 2
context = 64
init_std = 0.02

[[corpus]]
name = "bios"

[corpus.options]
form = "population"
population = 300
wordings = 1
qa = 0.5

[conditions.five]
corpus.0.options.wordings = 5
"""


def judge(results: ExperimentResults) -> Conclusion:
    """Compare the two."""
    lead = newcombe(results.find("five", "extraction"), results.find("one", "extraction"))
    return Conclusion(lead_verdict(lead), "Nothing is learned in six steps.", "extraction: five less one", lead)


@pytest.fixture
def tiny(tmp_path: Path) -> Law:
    """A law whose models read six batches."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    (folder / "tiny.toml").write_text(_RECIPES, encoding="utf-8")
    question = LawQuestion("extraction", "recall", "extract-300", "story", "trained", 4)
    return Law(
        "tiny", "Tiny models learn nothing.", "Shown if they do.", "none",
        (Condition("one", "one wording"), Condition("five", "five wordings")),
        ("corpus.0.options.wordings",), {"text": (question,), "gpu": (question,)}, judge, folder,
    )  # fmt: skip
