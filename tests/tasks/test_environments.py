"""Environments: reasoning-gym's interface, rewards by the verifier of a run, and no item that anything else is asked."""

import inspect
import json

import pytest

from fathom import environment
from fathom.harness.reports.audit.audit import other_answers
from fathom.harness.reports.audit.measures import read_forms
from fathom.tasks.base import PARAMETRIC, channels_of, make_instance, pose, styles_of
from fathom.tasks.environments import Environment
from fathom.tasks.errors import BadItemId, UnknownLevel, UnknownStyle
from fathom.tasks.registry import find_family, instance_from_id, own_families

WIDE = 1e11  # questions of a level; where there are fewer, two independent draws may meet
IN_CONTEXT = [name for name, one in own_families().items() if not set(one.styles) <= {*PARAMETRIC, "choice"}]


def test_the_interface_is_that_of_reasoning_gym():
    from reasoning_gym.dataset import ProceduralDataset

    for name in ("__len__", "__getitem__", "__iter__", "score_answer"):
        theirs, ours = (inspect.signature(getattr(one, name)) for one in (ProceduralDataset, Environment))
        assert list(ours.parameters) == list(theirs.parameters), name
    made = environment("depo", size=3)
    assert (len(made), len(list(made)), made.size) == (3, 3, 3)
    assert {"question", "answer", "metadata"} == made[0].keys()
    assert {"source_dataset", "source_index", "difficulty"} <= made[0]["metadata"].keys()
    assert json.loads(json.dumps(made[10**9])) == made[10**9]


@pytest.mark.parametrize("name", IN_CONTEXT)
def test_gold_earns_one_and_wrong_forms_earn_nothing(name):
    made = environment(name)
    style = made[0]["metadata"]["style"]
    for entry in [one for one in (made[idx] for idx in range(12)) if one["answer"] != "none"][
        :3
    ]:  # of repair: no mistake
        right = entry["answer"] if style == "direct" else f"One step.\nAnswer: {entry['answer']}"
        item = instance_from_id(entry["metadata"]["item"].removeprefix("train:"), "train")
        tried = other_answers(find_family(name), item, [made[at]["answer"] for at in range(3, 40)])
        wrong = next(said for said in tried if made.score_answer(said, entry) == 0)
        assert made.score_answer(right, entry) == made.score_answer(f"<think>{wrong}?</think>{right}", entry) == 1
        assert made.score_answer(f"<think>{right}", entry) == 0
        assert made.score_answer(None, entry) == made.score_answer("", entry) == 0
        for form in read_forms("wrong"):
            text = form["text"].replace("{g}", entry["answer"]).replace("{w}", wrong)
            assert name in form.get("but_not", ()) or made.score_answer(text, entry) == 0, form["name"]


@pytest.mark.parametrize("name", IN_CONTEXT)
def test_training_meets_no_item_of_an_evaluation_a_demonstration_an_audit_or_a_probe(name):
    family = find_family(name)
    level = next(
        one for one in family.levels.values() if one.space >= WIDE and not set(styles_of(family, one)) & set(PARAMETRIC)
    )
    channel = channels_of(family, level)[0]
    trained = {entry["question"] for seed in (0, 1, 7) for entry in environment(name, level.name, seed=seed, size=60)}
    style = environment(name, level.name)[0]["metadata"]["style"]
    assert len(trained) == 180
    for role in ("eval", "shot", "probe-fit", "probe-test"):
        for seed in (0, 1, 7):
            asked = (make_instance(family, level.name, channel, seed, at, role=role) for at in range(60))
            assert not trained & {pose(family, item, style) for item in asked}, role


def test_the_difficulty_changes_while_it_runs_and_old_entries_keep_theirs():
    made = environment("depo", "n8k1", style="direct", seed=7)
    easy = made[5]
    made.level = "n8k2"
    hard = made[5]
    assert hard["metadata"]["difficulty"]["hardness"] > easy["metadata"]["difficulty"]["hardness"]
    assert made.levels.index("n8k1") < made.difficulty == made.levels.index("n8k2")
    assert easy["question"] != hard["question"]
    assert made.score_answer(easy["answer"], easy) == made.score_answer(hard["answer"], hard) == 1
    made.difficulty = 10**6
    assert made.level == made.levels[-1]
    made.difficulty = -3
    assert made.level == made.levels[0]
    made.level = "n8k1"
    assert made[5] == easy


def test_trl_gets_its_rewards_from_texts_and_from_chats():
    made = environment("depo", "n8k2", style="direct")
    entries = [made[0], made[1]]
    said = [entries[0]["answer"], [{"role": "assistant", "content": entries[0]["answer"]}]]
    found = made.rewards(completions=said, metadata=[one["metadata"] for one in entries], prompts=["", ""])
    assert found == [1, 0]


def test_what_cannot_be_trained_on_is_refused():
    with pytest.raises(UnknownLevel, match="recall asks about trained memory"):
        environment("recall")
    for style in ("choice", "bits"):
        with pytest.raises(UnknownStyle):
            environment("depo", style=style)
    with pytest.raises(IndexError):
        environment("depo")[-1]
    with pytest.raises(BadItemId, match="is no entry of this environment"):
        environment("mano").score_answer("1", environment("depo")[0])
    with pytest.raises(BadItemId):
        environment("depo").score_answer("1", {"metadata": {"item": "depo@2/n8k2/symbol/7/0"}})
