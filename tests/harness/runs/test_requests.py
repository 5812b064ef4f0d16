"""What the service asks without lm-eval is what lm-eval asks."""

import pytest

from fathom.harness.engines.base import Completion, Request, Sampling
from fathom.harness.engines.oracle import OracleEngine
from fathom.harness.errors import BadInput
from fathom.harness.records import prompt_format_of
from fathom.harness.runs.lm_eval_adapter import evaluate_arguments, open_tasks
from fathom.harness.runs.lm_eval_model import EngineLM, SuiteReader
from fathom.harness.runs.requests import checked_completion, grade_completion, make_requests, shown_prompt
from fathom.harness.runs.run_settings import PromptSettings, RunSettings
from fathom.tasks.base import grade
from fathom.tasks.registry import find_family, instance_from_id
from fathom.tasks.suites import Selection, open_suite

ASKED = {
    "plain text": PromptSettings(), "after shots, with filler, twice": PromptSettings(2, filler=3, ask_twice=True),
    "chat": PromptSettings(chat=True),
}  # fmt: skip


@pytest.mark.parametrize("asked_how", ASKED.values(), ids=ASKED)
def test_the_requests_are_those_of_lm_eval_to_the_letter(asked_how):
    from lm_eval.evaluator import evaluate

    settings = RunSettings(asked_how)
    levels = ("n8k2", "p23l2", "recognise-d2", "extract-k2", "op2")
    suite = open_suite("quick", 7, Selection(levels=levels, styles=("direct", "cot", "choice"), n=3))
    heard = []

    def complete(asked):
        heard.extend(one.request for one in asked)
        return {one.key: one for batch in OracleEngine().stream(one.request for one in asked) for one in batch}

    lm = EngineLM(SuiteReader(suite, "d" * 32, settings), {}, complete)
    tasks = {"tasks": open_tasks(suite, settings)}
    evaluate(lm, tasks, bootstrap_iters=0, log_samples=False, **evaluate_arguments(asked_how))
    ours = [request for cell in suite.cells for request in make_requests(cell, suite.seed, "d" * 32, asked=asked_how)]
    assert len(ours) == suite.n_items
    assert {one.key: one for one in ours} == {one.key: one for one in heard}


def test_a_chat_is_asked_without_the_beginning_of_an_answer_line():
    (cell,) = open_suite("quick", 7, Selection(levels=("n8k2",), styles=("direct",), n=1)).cells
    (plain,), (chat,) = (list(make_requests(cell, "7", "d", asked=PromptSettings(chat=one))) for one in (False, True))
    assert plain.prompt == f"{chat.prompt}\nAnswer:"
    assert [turn.content for turn in chat.turns] == [chat.prompt]


@pytest.mark.parametrize("asked", [PromptSettings(chat=True), PromptSettings(filler=3, ask_twice=True)], ids=str)
def test_a_question_is_shown_as_the_model_was_sent_it(asked):
    for cell in open_suite("quick", 7, Selection(families=("depo", "mano"), n=1)).cells:
        (sent,) = make_requests(cell, "7", "d", asked=asked)
        assert shown_prompt(instance_from_id(sent.item), cell.style, asked) == sent.prompt


def test_filler_and_a_second_reading_stand_before_direct_answers_alone():
    direct, steps = open_suite("quick", 7, Selection(levels=("n8k2",), styles=("direct", "cot"), n=1)).cells
    more = PromptSettings(filler=3, ask_twice=True)
    (once,), (again,) = (list(make_requests(direct, "7", "d", asked=one)) for one in (PromptSettings(), more))
    question = once.prompt.removesuffix("Answer:")
    assert again.prompt == f"{question}The same again: {question}Before the answer: 1 2 3\nAnswer:"
    assert [one.prompt for one in make_requests(steps, "7", "d", asked=more)] == [
        one.prompt for one in make_requests(steps, "7", "d")
    ]


@pytest.mark.parametrize(("more", "said"), [
    ({}, "plain/0"), ({"filler": 100}, "plain/0/filler-100"), ({"filler": 5, "ask_twice": True}, "plain/0/filler-5/twice"),
])  # fmt: skip
def test_runs_with_filler_are_kept_apart_and_repeated_with_their_flags(more, said):
    settings = RunSettings(PromptSettings(**more))
    manifest = {"decisive": {"sampling": settings.to_json()["sampling"]}}
    assert prompt_format_of(manifest) == said
    assert RunSettings.from_json(settings.to_json()).prompt == settings.prompt
    flags = dict(settings.flags())
    assert (flags.get("--filler", 0), flags.get("--ask-twice", False)) == (more.get("filler", 0), "ask_twice" in more)


def test_too_much_filler_is_refused():
    with pytest.raises(BadInput, match="0 to 4096"):
        PromptSettings(filler=5000).check()


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
    item = instance_from_id("depo@2/n8k2/symbol/7/0")
    request = Request("k", item.id, "p", Sampling(1))
    failed = checked_completion(request, Completion("k", item.gold, "error", 3, 1, 0.5, error="lost"))
    assert (failed.text, grade_completion(item, failed).label) == ("", "engine_error")
    assert grade_completion(item, Completion("k", f" {item.gold}", "stop", 3, 1, 0.5)) == grade(
        find_family("depo"), item, item.gold
    )
