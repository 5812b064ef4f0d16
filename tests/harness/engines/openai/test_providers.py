"""API models by name: each provider's quirks, against a server that refuses what the provider refuses."""

import json
from dataclasses import replace

import pytest
from starlette.responses import JSONResponse

from fathom.harness.engines.base import EngineSettings, sampling_seed
from fathom.harness.engines.openai.engine import open_openai
from fathom.harness.engines.options import base_address, check_settings, server_address
from fathom.harness.engines.providers import DEFAULT_THOUGHT, PROVIDERS, dialect_of, provider_at
from fathom.harness.errors import BadInput
from fathom.harness.runs.manifest import make_manifest
from fathom.harness.runs.plan import TaskSelection, make_plan, make_task_plan
from fathom.harness.runs.requests import sampling_of
from fathom.harness.runs.run_settings import RunSettings, SamplingSettings, settings_of
from fathom.tasks.suites import Selection, open_suite
from tests.harness.engines.openai.misbehaving import KEY, Api, chat, chatted, completions, sorry

REFUSED = {
    ("openai", "gpt-5-mini"): ("max_tokens", "temperature", "top_p", "repetition_penalty", "frequency_penalty", "stop"),
    ("openai", "gpt-4.1"): ("repetition_penalty", "reasoning_effort"),
    ("anthropic", "claude-sonnet-4-6"): ("top_p", "seed"),
    ("anthropic", "claude-opus-4-7"): ("temperature", "top_p"),
    ("gemini", "gemini-2.5-pro"): ("repetition_penalty", "frequency_penalty"),
    ("groq", "llama-3.3-70b-versatile"): ("logprobs", "repetition_penalty"),
    ("deepseek", "deepseek-flash"): ("logprobs", "seed"),
    ("mistral", "mistral-large-latest"): ("seed", "repetition_penalty"),
    ("xai", "grok-4"): ("frequency_penalty", "presence_penalty", "stop"),
    ("openrouter", "openai/gpt-5"): ("temperature", "reasoning_effort"),
    ("together", "openai/gpt-oss-20b"): ("logprobs",),
}
"""Parameters that would be an error, or would not act."""


@pytest.fixture
def ask(serve, monkeypatch):
    """Answer requests as a provider's model, on a server that refuses some parameters; return bodies and completions."""

    def make(provider, model, *, refused=(), usage=None, effort=None, listed=None, requests=None):
        api = Api()
        api.models = JSONResponse(listed or {"data": [{"id": PROVIDERS[provider].listed_prefix + model}]})

        def answer(body, n):
            wrong = [name for name in refused if name in body]
            found = sorry(400, f"Unsupported parameter: {wrong[0]}") if wrong else chatted(content="Anna")
            return found if wrong or usage is None else {**found, "usage": usage}

        api.answer = answer
        monkeypatch.setenv(PROVIDERS[provider].variable, KEY)
        options = {"provider": provider, "base_url": serve(api.app), "patience": 5}
        options |= {"reasoning_effort": effort} if effort else {}
        check_settings(EngineSettings("openai", options=options))
        opened = open_openai(model, EngineSettings("openai", options=options))
        done = completions(opened, requests or [chat(temperature=1.0)])
        assert KEY not in json.dumps(dict(opened.facts()))
        opened.close()
        return api, done["key"]

    return make


@pytest.mark.cases(None)
@pytest.mark.parametrize(("provider", "model"), REFUSED)
def test_nothing_is_sent_that_the_provider_refuses(ask, provider, model):
    api, done = ask(provider, model, refused=REFUSED[provider, model])
    assert (done.text, done.error) == ("Anna", None)
    assert len(api.bodies) == 1
    budgets = {"max_tokens", "max_completion_tokens"} & set(api.bodies[0])
    assert budgets == {PROVIDERS[provider].budget}
    assert api.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_model_that_takes_a_temperature_gets_it_with_its_seed(ask):
    wanted = {"openai": {"seed"}, "mistral": {"random_seed"}, "anthropic": set(), "gemini": {"seed"}}
    models = {
        "openai": "gpt-4.1",
        "mistral": "mistral-small",
        "anthropic": "claude-haiku-4-5",
        "gemini": "gemini-2.5-pro",
    }
    for provider, seeds in wanted.items():
        body = ask(provider, models[provider], requests=[chat(temperature=0.7)])[0].bodies[0]
        assert body["temperature"] == 0.7
        assert {name for name in body if "seed" in name} == seeds
        assert all(body[name] == sampling_seed(chat()) for name in seeds)


@pytest.mark.parametrize(
    ("provider", "effort", "sent"),
    [
        ("openai", "low", {"reasoning_effort": "low"}),
        ("openrouter", "high", {"reasoning": {"effort": "high"}}),
        ("deepseek", "high", {"reasoning_effort": "high"}),
        ("deepseek", "none", {"thinking": {"type": "disabled"}}),
    ],
)
def test_the_effort_of_a_thought_goes_where_the_provider_reads_it(ask, provider, effort, sent):
    model = {"openai": "gpt-5.2", "openrouter": "openai/gpt-5", "deepseek": "deepseek-flash"}[provider]
    body = ask(provider, model, effort=effort)[0].bodies[0]
    assert {name: body[name] for name in sent} == sent
    assert len({"reasoning_effort", "reasoning", "thinking"} & set(body)) == 1


def test_a_provider_that_ignores_an_effort_refuses_it_before_anything_is_sent():
    with pytest.raises(BadInput, match="anthropic ignores the effort of a thought"):
        check_settings(EngineSettings("openai", options={"provider": "anthropic", "reasoning_effort": "low"}))
    with pytest.raises(BadInput, match="no effort 'much'"):
        check_settings(EngineSettings("openai", options={"provider": "openai", "reasoning_effort": "much"}))
    with pytest.raises(BadInput, match="no provider 'opnai': did you mean openai"):
        check_settings(EngineSettings("openai", options={"provider": "opnai"}))


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}, 603),  # Gemini and xAI leave thoughts out
        ({"prompt_tokens": 20, "completion_tokens": 603, "total_tokens": 623,
          "completion_tokens_details": {"reasoning_tokens": 405}}, 603),
        ({"prompt_tokens": 20, "completion_tokens": 7}, 7),
    ],
)  # fmt: skip
def test_thoughts_are_counted_whether_or_not_the_provider_adds_them(ask, usage, tokens):
    done = ask("gemini", "gemini-2.5-pro", usage=usage)[1]
    assert (done.prompt_tokens, done.completion_tokens) == (20, tokens)


def test_a_list_of_models_in_another_form_is_not_asked_for(ask):
    _, done = ask("together", "meta/llama", listed=[{"id": "meta/llama"}])
    assert done.text == "Anna"
    with pytest.raises(BadInput, match=r"no model 'gemini-9', but gemini-2\.5-pro"):
        ask("gemini", "gemini-9", listed={"data": [{"id": "models/gemini-2.5-pro"}]})


def test_a_key_is_read_from_the_providers_own_variable_only(monkeypatch):
    monkeypatch.setenv("FATHOM_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    with pytest.raises(BadInput, match="the provider groq wants a key: set GROQ_API_KEY") as caught:
        open_openai("llama", EngineSettings("openai", options={"provider": "groq"}))
    assert KEY not in str(caught.value)


def planned(model, options, sampling=SamplingSettings()):
    told = []
    suite = open_suite("quick", 3, Selection(("depo",), n=1))
    settings = RunSettings(sampling=sampling, engine=EngineSettings("openai", options=options))
    return make_plan(model, None, suite, settings, told.append), told


def test_a_model_without_a_temperature_is_asked_at_one_and_thinks_within_a_budget(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    plan, told = planned("gpt-5-mini", {"provider": "openai", "reasoning_effort": "low"})
    assert plan.settings.sampling.temperature == 1.0
    assert plan.settings.sampling.thinking.budget == DEFAULT_THOUGHT
    assert {cell.style for cell in plan.suite.cells} == {"direct", "cot"}
    assert sampling_of(plan.suite.cells[0], plan.settings).max_tokens > DEFAULT_THOUGHT
    assert [("left out" in line, "no temperature" in line, "thinks" in line) for line in told] == [
        (True, False, False), (False, True, False), (False, False, True)
    ]  # fmt: skip
    stored = make_manifest(plan.model, plan.suite, plan.settings)
    assert stored.decisive.engine.options == {"provider": "openai", "reasoning_effort": "low"}
    assert KEY not in json.dumps(stored.to_json())
    again = settings_of(stored)
    assert replace(again, engine=plan.settings.engine) == plan.settings
    with pytest.raises(BadInput, match="takes no temperature"):
        planned("gpt-5-mini", {"provider": "openai"}, SamplingSettings(temperature=0.5))


def test_tasks_of_lm_eval_leave_room_for_a_thought_too():
    settings = RunSettings(engine=EngineSettings("openai", options={"provider": "gemini"}))
    thinking = make_task_plan("gemini-2.5-pro", None, TaskSelection(("gsm8k",)), settings).settings.sampling.thinking
    assert thinking.budget == DEFAULT_THOUGHT
    assert make_task_plan("gemini-2.0", None, TaskSelection(("gsm8k",)), settings).settings.sampling.thinking is None


def test_a_model_that_is_told_not_to_think_is_greedy_and_ranked():
    plan, _ = planned("gpt-5.2", {"provider": "openai", "reasoning_effort": "none"})
    assert (plan.settings.sampling.temperature, plan.settings.sampling.thinking) == (None, None)
    assert not dialect_of("openai", "gpt-5-chat-latest").thinks
    assert dialect_of("openai", "gpt-5", "none").has_temperature is False  # before GPT-5.1, none was no effort


def test_every_provider_has_an_address_that_can_be_asked_and_is_known_by_it():
    for name, one in PROVIDERS.items():
        assert base_address(one.address) == one.address == server_address({"provider": name})
        assert provider_at(one.address) == name
        assert one.variable.endswith("_API_KEY")
    assert provider_at("http://127.0.0.1:8000/v1") == ""
