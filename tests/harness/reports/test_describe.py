from dataclasses import replace

import pytest

from fathom.harness.db import read, write
from fathom.harness.db.engine import open_database
from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.model import ModelSource
from fathom.harness.records import Manifest
from fathom.harness.reports.describe import advice_of
from fathom.harness.runs.manifest import make_manifest
from fathom.harness.runs.run_settings import PromptSettings, RunSettings
from fathom.harness.stats.scores import FoundCounts
from fathom.tasks.suites import Selection, open_suite


@pytest.fixture
def run(tmp_path):
    """Make a run of 9 direct answers with these counts."""
    db = open_database(str(tmp_path / "a.db"), create=True)
    suite = open_suite("quick", 7, Selection(("depo",), ("n8k1",), ("symbol",), ("direct",), 9))
    model = ModelSource("org/model", None, "x")

    def make(found, prompt=PromptSettings(), template=False, labels=None):  # frozen
        manifest = make_manifest(model, suite, RunSettings(prompt, engine=EngineSettings("oracle")))
        new = write.NewRun(model.name, "oracle", suite, suite.digest(), manifest.to_json(), manifest.digest())
        detail = read.get_run(db, write.start_run(db, new))
        stored = {**detail.manifest.stored, "context": {"chat_template": "d"} if template else {}}
        cells = [replace(detail.cells[0], n=9, k=0, labels=labels or {}, found=found)]
        return replace(detail, manifest=Manifest.read(stored), cells=tuple(cells))

    yield make
    db.dispose()


UNREAD, CUT = FoundCounts(1, 8, 0), FoundCounts(1, 0, 8)


@pytest.mark.parametrize(
    ("prompt", "template", "flag"),
    [
        (PromptSettings(), True, "try --chat"), (PromptSettings(), False, "try --shots 3"),
        (PromptSettings(3), False, "try --shots 5"), (PromptSettings(0, True), True, "try --shots 2, or --no-chat"),
        (PromptSettings(2, True), True, "try --no-chat"),
    ],
)  # fmt: skip
def test_unread_answers_name_the_prompt_format_to_try(run, prompt, template, flag):
    (said,) = advice_of(run(UNREAD, prompt, template))
    assert said.startswith("8 of 9 answers (89%) are empty or could not be read: ")
    assert said.endswith(flag)


def test_cut_answers_name_the_budget_and_long_prompts_the_shots(run):
    (said,) = advice_of(run(CUT))
    assert "--budget" in said
    (said,) = advice_of(run(FoundCounts(2, 0, 0), PromptSettings(3), labels={"too_long": 7}))
    assert "--shots 0" in said


def test_a_third_or_an_old_run_gets_no_advice(run):
    assert advice_of(run(FoundCounts(6, 3, 0))) == ()
    assert advice_of(run(None)) == ()


def test_a_budget_beyond_the_models_context_is_said(run):
    detail = run(FoundCounts(9, 0, 0))
    manifest = Manifest.read({**detail.manifest.stored, "engine_facts": {"context": "64"}})
    (said,) = advice_of(replace(detail, manifest=manifest))
    assert said.startswith("the token budget of 1 of 1 cell, up to 96 tokens, does not fit the model's context of 64")
    manifest = Manifest.read({**detail.manifest.stored, "engine_facts": {"context": "1024"}})
    assert advice_of(replace(detail, manifest=manifest)) == ()
