"""A real chat model in hf and in vLLM, in a chat and in plain text: what engines write for it, and what is read."""

from dataclasses import replace

import pytest

from fathom.harness.engines.base import EngineSettings, Request, Sampling
from fathom.harness.engines.factory import open_engine
from fathom.harness.engines.model import find_model
from fathom.harness.runs.plan import hints_of
from fathom.harness.runs.prompt_format import StatedFormat, choose_prompt_format
from fathom.harness.runs.requests import make_requests
from fathom.harness.runs.run_settings import PromptSettings
from fathom.tasks.suites import SuiteCell

CELLS = [("depo", "n8k1"), ("mano", "p23l1"), ("bios", "extract-k2")]
FORMATS = {
    "chosen": StatedFormat(), "zero-shot in plain text": StatedFormat(False, 0), "after shots": StatedFormat(False, 3),
}  # fmt: skip
TOKENS = 12
LOOP = Request("loop", "", "1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0 1 0", Sampling(512))
NEWLINE = Request("newline", "", "Question: Name a fruit.\nAnswer:\n\n", Sampling(TOKENS, ("\n",)))


def requests(model):
    for name, stated in FORMATS.items():
        chosen = choose_prompt_format(hints_of(model, "hf"), stated)
        asked = PromptSettings(chat=chosen.chat, n_shots=chosen.n_shots)
        for family, level in CELLS:
            cell = SuiteCell(family, 1, level, "symbol", "direct", 1)
            for at, one in enumerate(make_requests(cell, "7", "d", asked=asked)):
                yield replace(one, key=f"{name}/{family}/{at}", sampling=replace(one.sampling, max_tokens=TOKENS))
    yield from (LOOP, NEWLINE)


pytestmark = pytest.mark.turns(4, engine=2)


@pytest.fixture(scope="module", params=["hf", pytest.param("vllm", marks=pytest.mark.slow)])
def answers(request, smol):
    model = find_model(str(smol))
    options = {"max_model_len": 2048} if request.param == "vllm" else {}
    engine = open_engine(model, EngineSettings(request.param, options=options))
    try:
        done = [one for some in engine.stream(requests(model)) for one in some]
    finally:
        engine.close()
    return {one.key: one for one in done}


def of(answers, prompt_format):
    return [one for key, one in answers.items() if key.startswith(prompt_format)]


def test_a_chat_model_asked_as_its_files_say_answers_every_question(answers):
    assert len(of(answers, "chosen")) == 3
    assert all(one.text.strip() for one in of(answers, "chosen"))


def test_a_chat_model_asked_zero_shot_in_plain_text_mostly_says_nothing(answers):
    assert sum(not one.text.strip() for one in of(answers, "zero-shot")) >= 2


def test_after_shots_in_plain_text_each_answer_is_one_line(answers):
    texts = [one.text for one in of(answers, "after shots")]
    assert all(text.strip() and "\n" not in text.strip() for text in texts)


def test_a_loop_ends_before_its_budget(answers):
    assert answers["loop"].finish_reason == "looped"
    assert answers["loop"].completion_tokens < 300


def test_a_stop_text_before_the_first_visible_character_ends_nothing(answers):
    one = answers["newline"]
    assert one.text.strip()
    assert "\n" not in one.text.strip()
