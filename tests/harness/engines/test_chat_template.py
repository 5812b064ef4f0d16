"""What a chat asks: the turns that lm-eval makes, as a worker of the service asks them, in the model's template."""

import json

import pytest

from fathom.harness.engines.base import Turn
from fathom.harness.engines.oracle import OracleEngine
from fathom.harness.runs.lm_eval_adapter import evaluate_arguments, open_tasks
from fathom.harness.runs.lm_eval_model import EngineLM, SuiteReader
from fathom.harness.runs.requests import grade_completion, make_requests
from fathom.harness.runs.run_settings import PromptSettings, RunSettings, SamplingSettings, Thinking
from fathom.harness.service.worker.protocol import RequestMessage
from fathom.server.jobs import grader
from fathom.server.jobs.shards import Shard
from fathom.tasks.registry import find_family, instance_from_id
from fathom.tasks.suites import Selection, open_suite

SUITE = open_suite("quick", 7, Selection(levels=("n8k2", "recognise-d2"), styles=("direct", "cot", "choice"), n=2))


def asked(prompt, sampling=SamplingSettings()):  # frozen
    """Return the requests that lm-eval makes of a suite, answered by an oracle, and what it scored."""
    from lm_eval.evaluator import evaluate

    settings = RunSettings(prompt, sampling)
    heard = []

    def complete(batch):
        heard.extend(batch)
        return {one.key: one for some in OracleEngine().stream(one.request for one in batch) for one in some}

    lm = EngineLM(SuiteReader(SUITE, "d" * 32, settings), {}, complete)
    tasks = open_tasks(SUITE, settings)
    found = evaluate(lm, {"tasks": tasks}, bootstrap_iters=0, log_samples=False, **evaluate_arguments(prompt))
    return sorted(heard, key=lambda one: (one.position, one.index)), found["results"]


@pytest.fixture(scope="module")
def chat():
    return asked(PromptSettings(chat=True))


def test_a_worker_asks_a_chat_as_lm_eval_does_to_the_letter(chat):
    ours = [
        request
        for cell in SUITE.cells
        for request in make_requests(cell, "7", "d" * 32, asked=PromptSettings(chat=True))
    ]
    assert [one.request for one in chat[0]] == ours
    wanted = tuple((at, index) for at, cell in enumerate(SUITE.cells) for index in range(cell.n))
    shard = Shard(dict(enumerate(SUITE.cells)), "7", "", False, "d" * 32, "hf", PromptSettings(chat=True), wanted)
    for mine, theirs in zip(ours, grader.missing_requests(shard, "7"), strict=True):
        sent = RequestMessage.model_validate_json(RequestMessage.of(theirs).model_dump_json()).request()
        assert (sent.prompt, sent.turns, sent.choices) == (mine.prompt, mine.turns, mine.choices)
        assert sent.sampling == mine.sampling
        assert mine.turns == (Turn("user", mine.prompt),)
        assert mine.sampling.stop == ()


def test_a_chat_scores_as_plain_text_does(chat):
    results = chat[1]
    assert {row["acc,none"] for row in results.values()} == {1.0}


def test_a_worker_and_a_run_of_ones_own_judge_a_chat_alike(chat):
    wanted = tuple((at, index) for at, cell in enumerate(SUITE.cells) for index in range(cell.n))
    shard = Shard(dict(enumerate(SUITE.cells)), "7", "", False, "d" * 32, "hf", PromptSettings(chat=True), wanted)
    from fathom.harness.engines.base import Completion

    mine = next(one for one in chat[0] if SUITE.cells[one.position].style == "direct")
    gold = instance_from_id(mine.request.item).gold
    done = Completion(f"{mine.position}/{mine.index}", f"\n\n{gold}\nThat is it.", "stop", 9, 9, 0.1)
    (sample,) = grader.grade_completions(shard, "7", [done])
    own = grade_completion(mine.item, done, mine.answer(done))
    assert sample.verdict == own
    assert own.correct
    assert sample.completion.text == done.text


def test_shots_are_turns_of_their_own_or_text_of_one():
    requests, results = asked(PromptSettings(2, chat=True, system="Be brief."))
    for one in requests:
        roles = [turn.role for turn in one.request.turns]
        assert roles == ["system", "user", "assistant", "user", "assistant", "user"]
        assert one.request.turns[0].content == "Be brief."
        assert all(turn.content == turn.content.lstrip() for turn in one.request.turns if turn.role == "assistant")
        assert json.loads(one.request.prompt)[-1]["content"] == one.request.turns[-1].content
    assert {row["acc,none"] for row in results.values()} == {1.0}
    (first, *_), _ = asked(PromptSettings(2, chat=True, shots_as="text"))
    (turn,) = first.request.turns
    assert turn.content == first.request.prompt
    assert len(turn.content.split("\n\n")) == 3


def test_a_system_text_without_a_chat_stands_apart_before_everything():
    (first, *_), _ = asked(PromptSettings(1, system="Be brief."))
    (plain, *_), _ = asked(PromptSettings(1))
    assert first.request.prompt == f"Be brief.\n\n{plain.request.prompt}"
    assert first.request.turns == ()


def test_a_thought_has_its_own_budget_its_marks_and_no_stops():
    thinking = Thinking(budget=100, opened=True)
    requests, results = asked(PromptSettings(chat=True), SamplingSettings(budgets={"cot": 7}, thinking=thinking))
    for one in requests:
        style, request = SUITE.cells[one.position].style, one.request
        if style == "choice":
            assert (request.prefill, request.marks, request.sampling.max_tokens) == ("\n</think>\n\n", (), 1)
            continue
        assert (request.prefill, request.marks, request.sampling.stop) == ("", ("<think>", "</think>"), ())
        cell = SUITE.cells[one.position]
        own = find_family(cell.family).budget(find_family(cell.family).levels[cell.level], style)
        assert request.sampling.max_tokens == 100 + (7 if style == "cot" else own)
    accuracies = {name: row["acc,none"] for name, row in results.items()}
    assert {acc for name, acc in accuracies.items() if name.endswith("choice")} == {1.0}
    assert {acc for name, acc in accuracies.items() if not name.endswith("choice")} == {0.0}  # no oracle closes it


def test_options_of_the_template_go_with_every_request():
    requests, _ = asked(PromptSettings(chat=True, template_options={"b": [1], "a": False}))
    assert {json.dumps(one.request.template_options) for one in requests} == {'[["a", false], ["b", [1]]]'}
