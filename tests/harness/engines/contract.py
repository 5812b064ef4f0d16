"""What every engine owes to whoever asks: the same questions to an odd model, and what is true of the answers.

Each question is a function that takes `ask`, which answers requests and returns the completions in their order. Answers
are compared with those of pebble as it is, in transformers.
"""

from functools import cache

from fathom.harness.engines.base import Request, Sampling, Turn
from fathom.harness.engines.hf import load_hf
from fathom.harness.engines.model import REFERENCE
from fathom.tasks.base import make_instance, pose, shown_candidates
from fathom.tasks.registry import find_family
from tests.odd_model import BROKEN, UNKNOWN

FAR = 0.3
"""Nats that vLLM's scores on a CPU are from those of PyTorch at most."""
N = 6


def completions(engine, requests):
    """Return the completions in the order of the requests; each must come once."""
    done = [one for some in engine.stream(iter(requests)) for one in some]
    assert sorted(one.key for one in done) == sorted(one.key for one in requests)
    found = {one.key: one for one in done}
    return [found[one.key] for one in requests]


def prompts(style):
    family = find_family("depo")
    return [pose(family, make_instance(family, "n8k1", "symbol", "7", at), style) for at in range(N)]


def generations(change=lambda prompt: prompt):
    asked = [(prompt, Sampling(12, ("\n",))) for prompt in prompts("direct")]
    asked += [(prompt, Sampling(24)) for prompt in prompts("cot")]
    return [Request(f"generate {at}", "", change(prompt), sampling) for at, (prompt, sampling) in enumerate(asked)]


def scorings(change=lambda prompt: prompt, blank=" ", chat=False):
    family = find_family("depo")
    for at, prompt in enumerate(map(change, prompts("choice"))):
        item = make_instance(family, "n8k1", "symbol", "7", at)
        choices = tuple(blank + one.strip() for one in shown_candidates(item, "choice"))
        yield Request(f"score {at}", "", prompt, Sampling(1), choices, (Turn("user", prompt),) if chat else ())


@cache
def of_pebble():
    """Return what pebble writes, and how it scores."""
    engine = load_hf(REFERENCE / "pebble")
    found = completions(engine, generations()), completions(engine, list(scorings()))
    engine.close()
    return found


def greedy_is_greedy(ask):
    for mine, theirs in zip(ask(generations()), of_pebble()[0], strict=True):
        assert (mine.error, mine.text.strip(), mine.completion_tokens) == (
            None, theirs.text.strip(), theirs.completion_tokens,
        )  # fmt: skip


def candidates_are_scored(ask):
    for mine, theirs in zip(ask(list(scorings())), of_pebble()[1], strict=True):
        assert mine.error is None
        assert far(mine.scores, theirs.scores) < FAR
        assert mine.greedy == theirs.greedy


def candidates_that_merge_with_the_prompt_are_scored_whole(ask):
    check_likelier(ask(list(scorings(lambda prompt: f"{prompt} ", ""))))


def candidates_after_a_chat_that_ends_in_a_blank_are_scored_whole(ask):
    check_likelier(ask(list(scorings(lambda prompt: f"{prompt} ", "", chat=True))))


def check_likelier(done):
    """Check how much likelier the best candidate is than each other one, which no cut between the tokens changes."""
    for mine, theirs in zip(done, of_pebble()[1], strict=True):
        assert (mine.error, mine.text) == (None, theirs.text.strip())
        assert far(*([score - max(one.scores) for score in one.scores] for one in (mine, theirs))) < FAR


def far(scores, others):
    return max(abs(one - other) for one, other in zip(scores, others, strict=True))


def candidates_that_are_nothing_or_the_same_are_refused(ask):
    prompt = prompts("choice")[0]
    cases = [("", " AB"), ("",), (" AB", " AB")]
    done = ask([Request(str(at), "", prompt, Sampling(1), choices) for at, choices in enumerate(cases)])
    assert [one.finish_reason for one in done] == ["error"] * 3
    assert [one.scores for one in done] == [None] * 3
    assert ["adds no token" in one.error for one in done] == [True, True, False]
    assert "the same tokens" in done[2].error


def what_is_no_number_is_an_error_of_its_request(ask):
    for one in ask(without_numbers()):
        assert (one.finish_reason, one.scores, one.text) == ("error", None, "")
        assert "try --dtype float32" in one.error


def without_numbers():
    return [
        Request("broken text", "", f"{BROKEN} {prompts('direct')[0]}", Sampling(4)),
        Request("broken chat", "", "", Sampling(4), turns=(Turn("user", f"{BROKEN} {prompts('direct')[0]}"),)),
        Request("broken scores", "", f"{BROKEN} {prompts('choice')[0]}", Sampling(1), (" AB", " CD")),
        Request("broken long scores", "", f"{BROKEN} {prompts('choice')[0]}", Sampling(1), (" AB CD", " CD")),
    ]


def what_is_no_number_spoils_no_other_request(ask):
    """Neither beside it nor after it, when others get its part of the cache."""
    for _ in range(2):
        answers = ask([*without_numbers(), *generations()])[-len(generations()) :]
        for mine, theirs in zip([*answers, *ask(generations())], of_pebble()[0] * 2, strict=True):
            assert (mine.error, mine.text.strip()) == (None, theirs.text.strip())


def tokens_without_an_embedding_are_an_error_of_their_request(ask):
    beyond = [
        Request("beyond", "", f"{UNKNOWN} {prompts('direct')[0]}", Sampling(4)),
        Request("beyond in a choice", "", prompts("choice")[0], Sampling(1), (" AB", UNKNOWN)),
    ]
    *refused, good = ask([*beyond, generations()[0]])
    assert (good.error, good.text.strip()) == (None, of_pebble()[0][0].text.strip())
    for one in refused:
        assert one.finish_reason == "error"
        assert UNKNOWN in one.error
        assert "resize the embedding" in one.error


def prompts_beyond_the_context_are_too_long(ask):
    long = " x" * 1100
    asked = [Request("text", "", long, Sampling(4)), Request("scores", "", long, Sampling(1), (" AB", " CD"))]
    for one in ask(asked):
        assert (one.finish_reason, one.error, one.scores, one.prompt_tokens) == ("too_long", None, None, 1100)


QUESTIONS = (
    greedy_is_greedy,
    candidates_are_scored,
    candidates_that_merge_with_the_prompt_are_scored_whole,
    candidates_after_a_chat_that_ends_in_a_blank_are_scored_whole,
    candidates_that_are_nothing_or_the_same_are_refused,
    prompts_beyond_the_context_are_too_long,
    what_is_no_number_is_an_error_of_its_request,
)
"""The last one comes last: vLLM's server on a CPU may answer no other afterwards."""
TO_THE_MODEL = (what_is_no_number_spoils_no_other_request, tokens_without_an_embedding_are_an_error_of_their_request)
"""Further questions to engines that hold the model themselves; what a server does inside is its own affair."""
