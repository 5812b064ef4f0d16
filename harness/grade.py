"""Turn completions into verdicts."""

from math import isfinite

from harness.engines.base import Completion, Request, best_choice
from harness.reading import Answer
from tasks import Instance, Verdict, find_family
from tasks.base import weigh


def judge(item: Instance, completion: Completion, answer: Answer | None = None) -> Verdict:
    """Judge a completion by the answer that was read in it, else by its text. Never raises.

    One that could not be made, or whose thought has no end, is wrong and says why.
    """
    if completion.finish_reason in ("too_long", "error"):
        return Verdict(False, None, "too_long" if completion.finish_reason == "too_long" else "engine_error")
    if completion.scores is not None and len(completion.scores) == 1:
        return weigh(item, completion.scores[0])
    if answer is not None and answer.state == "truncated":
        return Verdict(False, None, "truncated")
    return find_family(item.family).grade(item, completion.text if answer is None else answer.text)


def settle(request: Request, completion: Completion) -> Completion:
    """Return a completion from elsewhere as it must be: of scored candidates the text is that of the likeliest.

    Raises:
        ValueError: the scores are not one finite number a candidate.
    """
    if completion.finish_reason in ("too_long", "error"):
        return Completion(
            request.key, "", completion.finish_reason, completion.prompt_tokens, 0, completion.seconds,
            error=completion.error,
        )  # fmt: skip
    scores = completion.scores
    if not request.choices:
        if scores is not None:
            raise ValueError("an item without candidates has no scores")
        return completion
    if scores is None or len(scores) != len(request.choices) or not all(map(isfinite, scores)):
        raise ValueError(f"{len(request.choices)} candidates need a finite score each")
    greedy = list(completion.greedy or ())
    return best_choice(request, list(scores), greedy, completion.prompt_tokens, completion.seconds)
