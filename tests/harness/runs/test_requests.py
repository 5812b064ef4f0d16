"""What the service asks without lm-eval is what lm-eval asks."""

import pytest

from fathom.harness.engines.base import Completion, Request, Sampling
from fathom.harness.engines.oracle import OracleEngine
from fathom.harness.runs.lm_eval_adapter import open_tasks
from fathom.harness.runs.lm_eval_model import EngineLM, SuiteReader
from fathom.harness.runs.requests import checked_completion, grade_completion, make_requests
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.base import grade
from fathom.tasks.registry import find_family, instance_from_id
from fathom.tasks.suites import Selection, open_suite


def test_the_requests_are_those_of_lm_eval_to_the_letter():
    from lm_eval.evaluator import evaluate

    levels = ("n8k2", "p23l2", "recognise-d2", "extract-k1", "op2")
    suite = open_suite("quick", 7, Selection(levels=levels, styles=("direct", "cot", "choice"), n=3))
    heard = []

    def complete(asked):
        heard.extend(one.request for one in asked)
        return {one.key: one for batch in OracleEngine().stream(one.request for one in asked) for one in batch}

    lm = EngineLM(SuiteReader(suite, "d" * 32, RunSettings()), {}, complete)
    evaluate(lm, {"tasks": open_tasks(suite)}, bootstrap_iters=0, log_samples=False)
    ours = [request for cell in suite.cells for request in make_requests(cell, suite.seed, "d" * 32)]
    assert len(ours) == suite.n_items
    assert {one.key: one for one in ours} == {one.key: one for one in heard}


def test_some_indices_are_the_same_requests():
    (cell,) = open_suite("quick", 7, Selection(levels=("n8k2",), n=9)).cells
    every = list(make_requests(cell, "7", "d"))
    assert list(make_requests(cell, "7", "d", [8, 0])) == [every[8], every[0]]


CHOICE = Request("k", "i", "p", Sampling(1), (" A", " B"))


def test_the_text_of_a_choice_is_the_likeliest_candidate_whatever_was_sent():
    sent = Completion("k", " A", "stop", 3, 1, 0.5, scores=(-2.0, -1.0))
    assert checked_completion(CHOICE, sent).text == " B"


@pytest.mark.parametrize("scores", [None, (), (1.0,), (1.0, float("nan")), (1.0, float("inf")), (1.0, 2.0, 3.0)])
def test_scores_that_cannot_be_are_refused(scores):
    with pytest.raises(ValueError, match="finite score"):
        checked_completion(CHOICE, Completion("k", " A", "stop", 3, 1, 0.5, scores=scores))


def test_a_failed_completion_has_no_text_and_is_not_right():
    item = instance_from_id("depo@1/n8k2/symbol/7/0")
    request = Request("k", item.id, "p", Sampling(1))
    failed = checked_completion(request, Completion("k", item.gold, "error", 3, 1, 0.5, error="lost"))
    assert (failed.text, grade_completion(item, failed).label) == ("", "engine_error")
    assert grade_completion(item, Completion("k", f" {item.gold}", "stop", 3, 1, 0.5)) == grade(
        find_family("depo"), item, item.gold
    )
