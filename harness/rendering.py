"""Turn items of a suite into the very requests that a run sends, by way of lm-eval; nothing is asked."""

from collections.abc import Mapping, Sequence

from harness.engines.base import Completion
from harness.feed import Asked
from harness.prompting import Decoding, Prompting
from harness.settings import quiet_lm_eval
from harness.suite import Suite
from harness.waves import Wave


def requests_of_run(suite: Suite, digest: str, manner: tuple[Prompting, Decoding], wave: Wave) -> list[Asked]:
    """Return the requests of a wave in the order in which a run sends them; `digest` is that of its manifest."""
    quiet_lm_eval()  # lm-eval's progress bars read the environment once, when they are imported
    from lm_eval.evaluator import evaluate

    from harness.lm import JournalLM
    from harness.lmeval import open_tasks, put

    found: list[Asked] = []

    def note(asked: Sequence[Asked]) -> Mapping[str, Completion]:
        found.extend(asked)
        return {one.request.key: Completion(one.request.key, "", "error", 0, 0, 0.0) for one in asked}

    lm = JournalLM(suite, digest, {}, note, manner)
    tasks = open_tasks(suite, *manner, wave)
    evaluate(lm, {"tasks": tasks}, bootstrap_iters=0, log_samples=False, **put(manner[0]))
    return found
