"""Requests of lm-eval's own tasks: sampling options, thoughts, and continuations that share a context."""

from types import SimpleNamespace

import pytest

from fathom.harness.engines.base import Completion, Sampling
from fathom.harness.errors import BadInput
from fathom.harness.runs.lm_eval_tasks.requests import TaskReader, read_generation_options
from fathom.harness.runs.run_settings import RunSettings, SamplingSettings, Thinking

THINKING = RunSettings(sampling=SamplingSettings(thinking=Thinking(budget=100)))


def row(*args, doc=0, index=0):
    """A request as lm-eval makes it."""
    return SimpleNamespace(task_name="t", doc_id=doc, idx=index, args=args)


def read(kind, *rows, settings=RunSettings()):  # frozen
    return TaskReader("digest", settings, {"t": 0}).read(kind, rows)


def test_a_thought_is_kept_and_not_scored():
    (one,), _ = read("generate_until", row("Q", {"until": ["\n"], "max_gen_toks": 9}), settings=THINKING)
    assert (one.request.sampling.max_tokens, one.request.sampling.stop) == (109, ())
    answer = lambda text, reason="stop": one.scored_text(Completion("", text, reason, 1, 1, 0.0))  # noqa: E731
    assert answer("<think>\none\ntwo</think>\n42\nor so") == "42"
    assert answer("<think>\nit is 42", "length") == ""


def test_continuations_of_one_context_are_one_request():
    rows = [row("Q", " a"), row("Q", " b", index=1), row("", " a", index=2), row("Q", " a", doc=1)]
    requests, sources = read("loglikelihood", *rows)
    assert [one.choices for one in requests] == [(" a", " b"), (" a",), (" a",)]
    assert sources == [(0, 0), (0, 1), (1, 0), (2, 0)]


def test_a_repeated_request_is_generated_again_and_scored_once():
    once = row("Q", {})
    requests, sources = read("generate_until", once, once)
    assert len({one.request.key for one in requests}) == 2
    assert [one.of.repeat for one in requests] == [0, 1]
    scored = row("Q", " a")
    requests, sources = read("loglikelihood", scored, scored)
    assert (len(requests), sources) == (1, [(0, 0), (0, 0)])


def test_blanks_at_the_end_of_a_context_belong_to_the_continuation():
    (one,), _ = read("loglikelihood", row("Q: ", "a"))
    assert (one.request.prompt, one.request.choices) == ("Q:", (" a",))
    assert (one.prompt, one.choices) == ("Q: ", ("a",))


def test_an_unknown_kind_of_request_is_refused():
    with pytest.raises(BadInput, match="asks for multimodal"):
        read("multimodal", row("Q"))


@pytest.mark.parametrize(
    ("options", "sampling"),
    [
        ({}, Sampling(256)),
        ({"until": "\n", "max_new_tokens": 7}, Sampling(7, ("\n",))),
        ({"until": ["a", ""], "do_sample": False, "temperature": 0.8, "top_p": 0.5}, Sampling(256, ("a",))),
        ({"temperature": 0.8, "top_p": 0.5, "num_beams": 1}, Sampling(256, (), 0.8, 0.5)),
        ({"do_sample": True}, Sampling(256, (), 1.0)),
    ],
)
def test_the_ways_to_generate_are_read_as_lm_eval_reads_them(options, sampling):
    assert read_generation_options("t", options) == sampling
