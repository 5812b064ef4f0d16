"""The engine openai against small real servers that answer, refuse, lie, stall and vanish."""

import asyncio
import contextlib
import json
import re
import threading
import time
from collections import Counter
from dataclasses import replace

import pytest
from starlette.responses import JSONResponse, Response

from fathom.harness.cli.attempt import Output, continue_run, run_suite
from fathom.harness.engines.base import EngineSettings, Request, Sampling, Turn, sampling_seed
from fathom.harness.engines.model import find_served_model
from fathom.harness.engines.openai.engine import open_openai
from fathom.harness.engines.options import base_address, check_settings
from fathom.harness.errors import BadInput, EngineFailed
from fathom.harness.runs.manifest import make_manifest
from fathom.harness.runs.plan import make_plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.suites import Selection, open_suite
from tests.harness.engines.openai.misbehaving import KEY, Api, ask, chat, chatted, completions, said, sorry


def test_every_request_is_answered_once_and_says_what_was_asked(api, engine):
    opened = engine()
    done = completions(opened, ask(300, stop=("\n",)))
    assert {(one.text, one.finish_reason, one.prompt_tokens, one.completion_tokens) for one in done.values()} == {
        (" Anna", "stop", 9, 2)
    }
    assert sorted(body["prompt"] for body in api.bodies) == sorted(one.prompt for one in ask(300))
    assert {key: value for key, value in api.bodies[0].items() if key != "prompt"} == {
        "model": "tiny", "max_tokens": 16, "temperature": 0.0, "top_p": 1.0, "stop": ["\n"],
        "frequency_penalty": 0, "presence_penalty": 0, "repetition_penalty": 1.0,
    }  # fmt: skip
    assert api.requests[0].headers["authorization"] == f"Bearer {KEY}"
    facts = opened.facts()
    assert (facts["served_model"], facts["server"]) == ("tiny", "other")
    assert KEY not in json.dumps(dict(facts))


def test_requests_are_pulled_as_room_appears(api, engine):
    pulled = []
    stream = engine(concurrency=8).stream(one for one in ask(1000) if not pulled.append(one))
    next(stream)
    assert len(pulled) <= 64
    stream.close()


def test_concurrency_grows_to_its_bound_and_not_beyond(api, engine):
    async def answer(body, n):
        await asyncio.sleep(0.05)
        return said()

    api.answer = answer
    completions(engine(concurrency=40), ask(400))
    assert 30 <= api.most <= 40


def test_a_server_that_bears_eight_at_a_time_is_found_out(api, engine):
    async def answer(body, n):
        if api.under_way > 8:
            return sorry(429)
        await asyncio.sleep(0.01)
        return said()

    api.answer = answer
    done = completions(engine(), ask(400))
    assert {one.finish_reason for one in done.values()} == {"stop"}
    n_refused = len(api.bodies) - 400
    print(f"{n_refused} answers 429 on the way to 400 completions")
    assert n_refused < 100


def test_a_stop_text_before_the_first_visible_character_ends_nothing(api, engine):
    def answer(body, n):
        end = {"finish_reason": "stop", "stop_reason": "\n"} if "stop" in body else {"finish_reason": "length"}
        return {"choices": [{"text": "" if "stop" in body else "\n\nRC\nand more", **end}], "usage": {}}

    api.answer = answer
    asked = Request("k", "", "Q", Sampling(9, ("\n",)))
    assert completions(engine(), [asked])["k"].text == "\n\nRC"
    assert ["stop" in body for body in api.bodies] == [True, False]


def test_a_text_that_repeats_itself_to_the_end_of_its_budget_is_called_a_loop(api, engine):
    api.answer = lambda body, n: {"choices": [{"text": "la " * 400, "finish_reason": "length"}], "usage": {}}
    assert completions(engine(), [Request("k", "", "Q", Sampling(400))])["k"].finish_reason == "looped"


def test_retry_after_is_honoured_by_all(api, engine):
    api.answer = lambda body, n: sorry(429, headers={"Retry-After": "1"}) if n == 1 else said()
    completions(engine(concurrency=1), ask(5))
    assert len(api.bodies) == 6
    assert api.times[1] - api.times[0] >= 1.0


def test_a_wait_beyond_the_patience_ends_the_run_at_once(api, engine):
    api.answer = lambda body, n: sorry(429, headers={"Retry-After": "86400"})
    with pytest.raises(EngineFailed, match="asks to wait for 86400 s, the patience is 5 s"):
        completions(engine(), ask(5))


def test_a_used_up_quota_ends_the_run(api, engine):
    api.answer = lambda body, n: sorry(429, "You exceeded your quota", code="insufficient_quota")
    with pytest.raises(EngineFailed, match="quota"):
        completions(engine(), ask(5))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: sorry(500), lambda: Response("<html>", media_type="text/html"), lambda: Response(b"\xff\xfe"), lambda: JSONResponse([1]),
        lambda: JSONResponse({}), lambda: JSONResponse({"choices": []}), lambda: JSONResponse({"choices": [{"text": None}]}),
        lambda: JSONResponse({"choices": "x"}), lambda: JSONResponse(said(end="abort")), lambda: Response("[" * 100_000),
        lambda: sorry(400, f"what is this {KEY}"), lambda: JSONResponse(said(end="content_filter")), lambda: JSONResponse({"error": {"message": "x"}}),
    ],
)  # fmt: skip
def test_a_request_that_is_answered_wrongly_fails_alone(api, engine, wrong):
    api.answer = lambda body, n: wrong() if body["prompt"] == "question 3" else said()
    done = completions(engine(), ask(8))
    assert [one.key for one in done.values() if one.finish_reason == "error"] == ["key3"]
    assert done["key3"].error
    assert KEY not in done["key3"].error


def test_a_passing_fault_is_not_seen(api, engine):
    odd = [
        sorry(500),
        Response("<html>"),
        JSONResponse({"choices": []}),
        sorry(503),
        sorry(502),
        JSONResponse(said(end="abort")),
    ]
    api.answer = lambda body, n: odd.pop() if odd else said()
    assert {one.finish_reason for one in completions(engine(), ask(30)).values()} == {"stop"}


@pytest.mark.parametrize(
    "wrong",
    [lambda: Response("<html>"), lambda: sorry(400, "no such parameter"), lambda: JSONResponse({"choices": []})],
)
def test_a_server_that_answers_nothing_rightly_ends_the_run(api, engine, wrong):
    api.answer = lambda body, n: wrong()
    with pytest.raises(EngineFailed, match="the server answered none of"):
        completions(engine(), ask(200))


def test_slow_answers_fail_alone_and_slow_us_down(api, engine):
    async def answer(body, n):
        await asyncio.sleep(2 if body["prompt"] == "question 3" else 0.01)
        return said()

    api.answer = answer
    done = completions(engine(timeout=0.3), ask(40))
    assert [one.key for one in done.values() if one.finish_reason == "error"] == ["key3"]
    assert "no answer within 0.3 s (tried 3 times)" in done["key3"].error


def test_a_wrong_key_is_said_at_once_and_never_shown(api, engine, serve):
    api.models = sorry(401, f"Incorrect API key provided: {KEY}")
    with pytest.raises(BadInput, match="the key in FATHOM_API_KEY is not valid") as caught:
        engine()
    assert KEY not in str(caught.value)


def test_a_key_that_is_withdrawn_ends_the_run_with_what_was_answered(api, engine):
    api.answer = lambda body, n: said() if n <= 20 else sorry(403)
    done = []
    with pytest.raises(BadInput, match="denies access"):
        done.extend(one for some in engine().stream(iter(ask(100))) for one in some)
    assert len({one.key for one in done}) == len(done) >= 10


def test_another_model_is_refused_with_the_names_of_those_served(engine):
    with pytest.raises(BadInput, match=r"no model 'gigantic', but tiny"):
        engine("gigantic")
    assert engine("gigantic", served_model="tiny").facts()["served_model"] == "tiny"


def test_a_server_that_cannot_be_reached_is_given_up_after_the_patience(free_port):
    began = time.monotonic()
    with pytest.raises(EngineFailed, match=r"did not answer for 1 s: 127.0.0.1:\d+: Connection refused"):
        open_openai(
            "tiny", EngineSettings("openai", options={"base_url": f"http://127.0.0.1:{free_port}/v1", "patience": 1})
        )
    assert time.monotonic() - began < 10


@pytest.mark.slow
def test_a_server_that_comes_up_late_is_waited_for(api, serve, free_port):
    late = threading.Timer(1.0, serve, (api.app, free_port))
    late.start()
    opened = open_openai(
        "tiny", EngineSettings("openai", options={"base_url": f"http://127.0.0.1:{free_port}/v1", "patience": 30})
    )
    assert len(completions(opened, ask(20))) == 20
    opened.close()
    late.join()


def break_off(body, n):
    return sorry(502, "bad gateway") if body["prompt"] == "question 3" else said()


def test_a_request_under_which_the_server_always_breaks_off_fails_alone(api, engine):
    api.answer, done = break_off, {}
    requests = (Request(f"key{at}", "", f"question {at}", Sampling(16)) for at in range(100_000) if "key3" not in done)
    for some in engine().stream(requests):
        done |= {one.key: one for one in some}
    assert [one.key for one in done.values() if one.finish_reason == "error"] == ["key3"]
    assert "stops answering whenever it gets this request" in done["key3"].error


def test_the_last_request_may_be_to_blame_for_a_silent_server(api, engine):
    api.answer = break_off
    done = completions(engine(patience=1), ask(5))
    assert [one.key for one in done.values() if one.finish_reason == "error"] == ["key3"]


def test_a_stream_that_is_left_cancels_what_is_under_way(api, engine):
    async def answer(body, n):
        while n > 1 and not await api.requests[n - 1].is_disconnected():
            await asyncio.sleep(0.02)
        return said()

    api.answer = answer
    stream = engine().stream(iter(ask(50)))
    next(stream)
    began = time.monotonic()
    stream.close()
    while api.under_way and time.monotonic() - began < 5:
        time.sleep(0.02)
    assert api.under_way == 0
    assert time.monotonic() - began < 5


OPENAI = "This model's maximum context length is 100 tokens. However, you requested 106 tokens (90 in the messages, 16 in the completion)."
FULL = "This model's maximum context length is 100 tokens. However, your messages resulted in 120 tokens. Please reduce the length."
VLLM = "This model's maximum context length is 100 tokens. However, your prompt contains at least 101 input tokens, which exceeds this limit"


@pytest.mark.parametrize(("message", "tokens"), [(FULL, 120), (VLLM, 101), ("the prompt is too long", 0)])
def test_a_prompt_that_does_not_fit_is_too_long(api, engine, message, tokens):
    api.answer = lambda body, n: sorry(400, message)
    (done,) = completions(engine(), ask(1)).values()
    assert (done.finish_reason, done.prompt_tokens, done.error) == ("too_long", tokens, None)


def test_a_budget_that_does_not_fit_is_cut_as_other_engines_cut_it(api, engine):
    api.answer = lambda body, n: (
        sorry(400, OPENAI, code="context_length_exceeded") if body["max_tokens"] > 10 else said(end="length")
    )
    (done,) = completions(engine(), ask(1)).values()
    assert done.finish_reason == "length"
    assert [body["max_tokens"] for body in api.bodies] == [16, 10]


def test_a_chat_is_sent_as_turns_and_a_thought_comes_back_in_its_marks(api, engine):
    api.answer = lambda body, n: chatted(content="Anna", reasoning_content="hm\n\nwell")
    (done,) = completions(engine(), [chat(options=(("enable_thinking", True),), temperature=0.7)]).values()
    assert done.text == "<think>hm\n\nwell</think>Anna"
    body = api.bodies[0]
    assert body["messages"] == [{"role": "user", "content": "hi"}]
    assert body["chat_template_kwargs"] == {"enable_thinking": True}
    assert body["seed"] == sampling_seed(chat())
    assert "prompt" not in body


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_thought_without_a_text_is_left_open(api, engine, content):
    api.answer = lambda body, n: chatted(end="length", content=content, reasoning="hm")
    (done,) = completions(engine(), [replace(chat(), marks=("[T]", "[/T]"))]).values()
    assert (done.text, done.finish_reason) == ("[T]hm", "length")


def test_a_server_that_knows_only_max_completion_tokens_is_understood(api, engine):
    name = "max_completion_tokens"
    api.answer = lambda body, n: (
        chatted(content="x") if name in body else sorry(400, f"Unsupported parameter: use '{name}'")
    )
    opened = engine()
    for _ in range(2):
        completions(opened, [chat()])
    assert [name in body for body in api.bodies] == [False, True, True]


def choice(turns=()):
    return Request("key", "", "Q: a b", Sampling(1), (" c", " d e"), turns)


def test_candidates_are_scored_by_echo_where_there_is_no_tokenizer(api, engine):
    words = {"c": -2.0, "d": -0.5, "e": -0.25}

    def row(at, prompt):
        tokens = [*prompt.split(), "end"]
        values = [None, *(words.get(token, -1.0) for token in tokens[1:])]
        tops = [None, *({token: value, "other": -0.3} for token, value in zip(tokens[1:], values[1:], strict=True))]
        return {
            "index": at,
            "text": prompt,
            "logprobs": {"tokens": tokens, "token_logprobs": values, "top_logprobs": tops},
        }

    api.answer = lambda body, n: {"choices": [row(at, one) for at, one in reversed(list(enumerate(body["prompt"])))]}
    (done,) = completions(engine(), [choice()]).values()
    assert (done.text, done.greedy, done.prompt_tokens) == (" d e", (False, False), 3)
    assert done.scores == (-2.0, -0.75)


@pytest.mark.parametrize(
    "answer", [said(logprobs=None), {"choices": [said()["choices"][0] | {"index": at} for at in range(3)]}]
)
def test_a_server_without_scores_is_told_from_a_broken_one(api, engine, answer):
    api.answer = lambda body, n: answer if len(answer["choices"]) == 3 else sorry(400, "echo is not supported")
    with pytest.raises(BadInput, match="style choice cannot be asked of this server"):
        completions(engine(), [choice()])
    with pytest.raises(BadInput, match="style choice cannot be asked of this server"):
        completions(engine(), [choice((Turn("user", "hi"),))])


def test_a_server_of_chats_alone_says_how_to_ask_it(api, engine):
    api.answer = lambda body, n: sorry(404, "This is a chat model and not supported in the v1/completions endpoint")
    with pytest.raises(BadInput, match="ask with --chat"):
        completions(engine(), ask(1))


def spoilt(answer):
    """Yield a JSON value with each part of it replaced by others in turn."""
    yield from (None, "x", -1, float("inf"), [{}])
    for name in answer if isinstance(answer, dict) else range(len(answer)) if isinstance(answer, list) else ():
        for part in spoilt(answer[name]):
            copy = answer.copy()
            copy[name] = part
            yield copy


def logprobs(at):
    tokens = ["Q", "a", "end"] if at else ["Q", "end"]
    found = {"tokens": tokens, "token_logprobs": [None, -1.0, -2.0], "top_logprobs": [None, {"a": -1.0}, {"b": -1.0}]}
    return {"index": at, "text": "", "logprobs": {name: values[: len(tokens)] for name, values in found.items()}}


@pytest.mark.parametrize(
    ("asked", "right"),
    [
        (ask(1)[0], said()), (chat(), chatted(content="a", reasoning="b")),
        (Request("", "", "Q", Sampling(1), (" a",)), {"choices": [logprobs(0), logprobs(1)], "usage": {}}),
    ],
)  # fmt: skip
def test_no_answer_however_false_stops_the_run_with_a_traceback(api, engine, asked, right):
    answers = [right, *spoilt(right)]
    opened, kinds = engine(), Counter()
    api.answer = lambda body, n: Response(json.dumps(wrong))
    for wrong in answers:  # noqa: B007  # read by the server
        with contextlib.suppress(BadInput):
            kinds.update(one.finish_reason for some in opened.stream(iter([asked])) for one in some)
    print(f"{len(answers)} false answers: {dict(kinds)}")
    assert kinds["error"] > 10


@pytest.mark.slow
def test_a_run_whose_server_is_gone_for_good_goes_on_elsewhere(api, serve, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FATHOM_API_KEY", KEY)
    api.answer = lambda body, n: said() if n <= 20 else sorry(503)
    elsewhere = Api()
    first, second = ({"base_url": serve(one.app), "patience": 1} for one in (api, elsewhere))
    suite = open_suite("quick", "1", Selection(("depo",), ("n8k1",), (), ("direct",), 60))
    settings = RunSettings(engine=EngineSettings("openai", options=first))
    output = Output(f"sqlite:///{tmp_path / 'runs.db'}", as_json=False)
    with pytest.raises(EngineFailed, match="did not answer for 1 s"):
        run_suite(make_plan("tiny", None, suite, settings, output.tell), output)
    name = re.search(r"fathom run --resume (\w+)", capsys.readouterr().out)[1]
    assert continue_run(name, EngineSettings("openai", options=second), (), output) == 0
    n_asked = len(elsewhere.bodies)
    assert 40 <= n_asked < 60
    assert f"{n_asked} generated, {60 - n_asked} recalled" in capsys.readouterr().out
    assert len({body["prompt"] for body in api.bodies[:20] + elsewhere.bodies}) == 60


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"), ("https://api.example/v1/", "https://api.example/v1"),
        ("http://host:1", "http://host:1/v1"), ("http://host/openai/v1", "http://host/openai/v1"),
    ],
)  # fmt: skip
def test_addresses_are_read_as_people_write_them(typed, meant):
    assert base_address(typed) == meant


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "host:8000",
        "ftp://host/v1",
        "http://",
        "http://user:secret@host/v1",
        "http://host/v1?key=secret",
        "http://host:x/v1",
    ],
)
def test_addresses_that_hold_a_secret_or_are_none_are_refused_before_they_are_stored(typed):
    with pytest.raises(BadInput, match="--base-url") as caught:
        base_address(typed)
    assert "secret" not in str(caught.value)
    with pytest.raises(BadInput):
        make_manifest(
            find_served_model("tiny"), SUITE, RunSettings(engine=EngineSettings("openai", options={"base_url": typed}))
        )


SUITE = open_suite("quick", 1, Selection(("depo",), ("n8k1",), (), ("direct",), 4))


def test_what_only_places_the_server_does_not_decide_the_run():
    made = [
        make_manifest(find_served_model("tiny"), SUITE, RunSettings(engine=EngineSettings("openai", options={"base_url": url, "patience": at + 1, "concurrency": 7})))
        for at, url in enumerate(("http://here/v1", "http://there/v1"))
    ]  # fmt: skip
    assert made[0].digest() == made[1].digest()
    assert made[1].context.placement == {"base_url": "http://there/v1", "patience": 2, "concurrency": 7}
    assert made[0].stored["decisive"]["model"] == {"name": "tiny", "digest": "openai:tiny"}


@pytest.mark.parametrize(
    "options",
    [
        {"tensor_parallel_size": 2},
        {"patience": "long"},
        {"concurrency": 0},
        {"concurrency": 1.5},
        {"timeout": True},
    ],
)
def test_options_that_cannot_be_are_refused(engine, options):
    with pytest.raises(BadInput):
        engine(**options)


def test_a_dtype_and_a_missing_address_are_refused(monkeypatch):
    monkeypatch.delenv("FATHOM_BASE_URL", raising=False)
    with pytest.raises(BadInput, match="--base-url"):
        check_settings(EngineSettings("openai"))
    with pytest.raises(BadInput, match="dtype"):
        check_settings(EngineSettings("openai", "float16"))
