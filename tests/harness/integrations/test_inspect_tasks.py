"""Inspect asks our items and gives our verdicts: the same, item by item, as Fathom's own grader."""

from collections import Counter
from itertools import islice

import pytest

pytest.importorskip("inspect_ai", reason="inspect_ai is not installed: pip install inspect-ai")

from fathom.harness.integrations.inspect_tasks import TASKS, samples
from fathom.tasks.base import grade
from fathom.tasks.registry import find_family, instance_from_id
from fathom.tasks.stream import Stream
from fathom.tasks.suites import Selection

FORMS = ("{said}", "Step by step.\nAnswer: {said}", "The answer is **{said}**.", "I cannot tell.", "<think>{said}", "")


def answers(some):
    """Yield a completion for each sample: right and wrong ones in several forms, and what is no answer."""
    for at, sample in enumerate(some):
        item = instance_from_id(sample.metadata["item"])
        guess = find_family(item.family).guess(item, sample.metadata["style"], Stream("inspect", at))
        yield FORMS[at % len(FORMS)].replace("{said}", item.gold if at % 2 else guess)


def test_two_hundred_items_get_the_verdicts_of_fathom(tmp_path):
    from inspect_ai import eval as inspect_eval
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    asked = {
        name: list(islice(samples(name, "7", Selection((name,), n=10)), 50))
        for name in ("depo", "mano", "bios", "brevo")
    }
    labels, n_items = Counter(), 0
    for name, some in asked.items():
        said = list(answers(some))
        outputs = [ModelOutput.from_content("mockllm/model", text) for text in said]
        for output in outputs:
            output.usage = ModelUsage()  # else it is counted with a file from the net
        model = get_model("mockllm/model", custom_outputs=outputs)
        (log,) = inspect_eval(f"fathom/{name}", model=model, task_args={"seed": "7", "n": 10}, limit=len(some),
                              log_dir=str(tmp_path), display="none", max_connections=1, max_samples=1)  # fmt: skip
        assert log.status == "success", log.error
        by_id = {sample.id: sample for sample in log.samples}
        for sample, text in zip(some, said, strict=True):
            item, theirs = instance_from_id(sample.metadata["item"]), by_id[sample.id].scores["verdict"]
            ours = grade(find_family(name), item, text)
            assert (theirs.value == "C", theirs.answer) == (ours.correct, ours.parsed), sample.id
            assert theirs.metadata["label"] == ours.label
            labels[ours.label] += 1
            n_items += 1
    assert n_items == 200
    assert labels["correct"] > 20
    assert len(labels) > 4


def test_every_family_that_asks_in_context_is_a_task():
    assert {"depo", "igsm", "lano"} <= TASKS.keys()
    assert not {"recall", "capo"} & TASKS.keys()
