"""A law of two tiny models that are trained and asked in seconds."""

from pathlib import Path

import pytest

from fathom.harness.training.laws.base import Condition, Finding, Law, Question, weigh_gap
from fathom.harness.training.laws.measures import Results, newcombe

RECIPE = """
name = "law-tiny-{name}-cpu"
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
wordings = {wordings}
qa = 0.5
"""


def judge(results: Results) -> Finding:
    """Compare the two."""
    gap = newcombe(results.of("five", "extraction"), results.of("one", "extraction"))
    return Finding(weigh_gap(gap), "Nothing is learnt in six steps.", "extraction: five less one", gap)


@pytest.fixture
def tiny(tmp_path: Path) -> Law:
    """A law whose models read six batches."""
    folder = tmp_path / "recipes"
    folder.mkdir()
    for name, wordings in (("one", 1), ("five", 5)):
        (folder / f"tiny-{name}-cpu.toml").write_text(RECIPE.format(name=name, wordings=wordings), encoding="utf-8")
    question = Question("extraction", "recall", "extract-300", "story", "trained", 4)
    return Law(
        "tiny", "Tiny models learn nothing.", "Shown if they do.", "none",
        (Condition("one", "one wording"), Condition("five", "five wordings")),
        ("corpus.0.options.wordings",), {"cpu": (question,), "gpu": (question,)}, judge, folder,
    )  # fmt: skip
