"""Servers that cut, drop, change or garble: what they say is read, or is an error of its request."""

import re

import pytest
from starlette.responses import JSONResponse

from fathom.harness.engines.base import Request, Sampling, Turn
from fathom.harness.errors import BadInput
from tests.harness.engines.openai.misbehaving import ask, chat, chatted, completions, said, sorry

THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
PARTS = {
    "text": ([{"type": "text", "text": "A"}, {"type": "text", "text": "nna"}], "Anna"),
    "thought and text": ([THOUGHT, {"type": "text", "text": "Anna"}], "<think>Hm.</think>Anna"),
    "a thought without end": ([THOUGHT], "<think>Hm."),
    "reasoning": ([{"type": "reasoning", "text": "Hm."}, {"type": "output_text", "text": "Anna"}], "<think>Hm.</think>Anna"),
    "a refusal": ([{"type": "refusal", "refusal": "No."}], "No."),
    "what is no text": ([{"type": "image_url", "image_url": {}}, {"type": "text", "text": "Anna"}], "Anna"),
    "texts": (["An", "na"], "Anna"),
    "nothing": ([], ""),
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_content_in_parts_is_read(api, engine, name):
    content, text = PARTS[name]
    api.answer = lambda body, n: chatted(content=content)
    (done,) = completions(engine(), [chat()]).values()
    assert (done.error, done.text) == (None, text)


class Ollama:
    """Answers as a server that reads the first words of a prompt and is silent about the rest."""

    def __init__(self, context, frame=12):
        self.context, self.frame, self.n_asked = context, frame, 0

    def __call__(self, body, n):
        self.n_asked += 1
        text = "".join(one["content"] for one in body["messages"]) if "messages" in body else body["prompt"]
        n_tokens = min(len(text) // 4 + self.frame * ("messages" in body), self.context)
        answer = chatted(content=" Anna") if "messages" in body else said()
        return answer | {"usage": {"prompt_tokens": n_tokens, "completion_tokens": 2}}


LONG = "four" * 3000


@pytest.mark.parametrize(
    "turns", [(), (Turn("user", LONG),), (Turn("user", LONG[:9000]), Turn("assistant", "a"), Turn("user", LONG[9000:]))]
)
def test_a_prompt_that_a_server_cuts_is_an_error_that_names_its_context(api, engine, turns):
    asked = [Request("long", "", LONG, Sampling(16), turns=turns), *ask(1)]
    for context, is_cut in ((1900, True), (40_000, False)):
        api.answer = Ollama(context)
        done = completions(engine(), asked)
        assert (done["key0"].error, done["long"].error is not None) == (None, is_cut)
    api.answer = Ollama(1900)
    error = completions(engine(), asked)["long"].error
    assert "read only 1,900 tokens of a prompt of 12,00" in error
    assert "OLLAMA_CONTEXT_LENGTH" in error


def test_a_vocabulary_of_long_words_is_not_taken_for_a_cut(api, engine):
    """What has no more tokens than a prompt that was found whole is not checked again."""
    api.answer = lambda body, n: (
        said() | {"usage": {"prompt_tokens": len(body["prompt"]) // 20, "completion_tokens": 2}}
    )
    done = completions(engine(), [Request(str(n), "", "word" * n, Sampling(16)) for n in range(3000, 3020)])
    assert {one.error for one in done.values()} == {None}
    assert len(api.bodies) < 20 + 2 * 20


def test_a_server_that_leaves_system_messages_out_is_refused(api, engine):
    def drops(body, n):
        kept = "".join(one["content"] for one in body["messages"] if one["role"] != "system")
        return chatted(content=" Anna") | {"usage": {"prompt_tokens": len(kept) + 30, "completion_tokens": 2}}

    asked = [Request("key", "", "hi", Sampling(4), turns=(Turn("system", "Be brief."), Turn("user", "hi")))]
    api.answer = drops
    with pytest.raises(BadInput, match="leaves system messages out"):
        completions(engine(), asked)
    api.answer = Ollama(4000)
    assert completions(engine(), asked)["key"].error is None
    api.answer = lambda body, n: chatted(content=" Anna") | {"usage": None}
    assert completions(engine(), asked)["key"].error is None


def test_settings_that_a_server_does_not_know_are_left_out(api, engine):
    def strict(body, n):
        unknown = [one for one in ("repetition_penalty", "frequency_penalty") if one in body]
        return sorry(400, f"Unrecognized request argument supplied: {unknown[0]}") if unknown else said()

    api.answer = strict
    done = completions(engine(concurrency=1), ask(5))
    assert {one.error for one in done.values()} == {None}
    assert len(api.bodies) <= 5 + 2 * 2  # two requests may be under way when the first refusal comes
    assert {"presence_penalty", "repetition_penalty", "frequency_penalty"} & set(api.bodies[-1]) == {"presence_penalty"}


@pytest.mark.parametrize("owner", ["vllm", "sglang", "llamacpp", "someone"])
def test_penalties_of_a_models_files_are_switched_off_by_name(api, engine, owner):
    api.models = JSONResponse({"data": [{"id": "tiny", "owned_by": owner}]})
    completions(engine(), ask(1))
    name = "repeat_penalty" if owner == "llamacpp" else "repetition_penalty"
    assert api.bodies[-1][name] == 1.0
    assert ("logprobs" in api.bodies[-1]) is (owner == "vllm")


def test_a_log_probability_that_json_cannot_express_is_an_error_of_its_request(api, engine):
    refusal = sorry(400, "Out of range float values are not JSON compliant")
    api.answer = lambda body, n: refusal if body["prompt"] == "question 1" else said()
    done = completions(engine(), ask(3))
    assert "logits are no numbers" in done["key1"].error
    assert {done[key].error for key in ("key0", "key2")} == {None}


def echoed(body, shorten=len):
    rows = []
    for at, prompt in enumerate(body["prompt"]):
        tokens = [*re.findall(r": ?[A-Z]?|[^:]", prompt)[: shorten(prompt)], "end"]  # ": A" is one token
        values = [None, *(-1.0 - ord(token[-1]) / 100 for token in tokens[1:])]
        tops = [None, *({token: value} for token, value in zip(tokens[1:], values[1:], strict=True))]
        found = {"tokens": tokens, "token_logprobs": values, "top_logprobs": tops}
        rows.append({"index": at, "text": prompt, "logprobs": found})
    return {"choices": rows}


def test_candidates_that_merge_with_an_echoed_prompt_are_scored_whole(api, engine):
    api.answer = lambda body, n: echoed(body)
    asked = [Request(str(blank), "", f"Q: a:{blank}", Sampling(1), ("A", "B")) for blank in ("", " ")]
    asked.append(Request("none", "", "Q: a", Sampling(1), ("", "B")))
    done = completions(engine(), asked)
    assert done[" "].scores == done[""].scores == pytest.approx((-1.65, -1.66))
    assert "adds no token" in done["none"].error


def test_an_echo_that_is_cut_is_an_error_of_its_request(api, engine):
    api.answer = lambda body, n: echoed(body, lambda prompt: 10)
    (done,) = completions(engine(), [Request("key", "", "Q: a b c d e f g:", Sampling(1), (" A", " B"))]).values()
    assert "read only 10 tokens of a prompt of 17 characters" in done.error
