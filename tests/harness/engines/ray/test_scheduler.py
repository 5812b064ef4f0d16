"""Replicas that come, work, die and go: every request is answered once, and one that kills is found."""

import pytest

from fathom.harness.engines.base import Completion, Request, Sampling
from fathom.harness.engines.ray.scheduler import Scheduler
from fathom.tasks.stream import Stream

WIDTH = 16


def requests(n):
    return (Request(str(at), "", "x", Sampling(1)) for at in range(n))


def answer(request):
    return Completion(request.key, "y", "stop", 1, 1, 0.0)


def play(plan, n_replicas, seed, dies, late=0):
    """Let replicas work in random order until all is done; `dies(held)` says whether a replica with these dies now."""
    draw = Stream("test", "scheduler", str(seed))
    held = {f"r{at}": [] for at in range(n_replicas)}
    for name in held:
        plan.join(name)
    done, born, losses = [], n_replicas, []
    while not plan.done:
        name = draw.choice(sorted(held))
        held[name] += plan.give(name)
        assert len(held[name]) <= 2 * WIDTH
        if held[name] and dies(held[name], draw):
            losses.append(len(held.pop(name)))
            done += plan.lose(name)
            held[f"r{born}"] = []
            plan.join(f"r{born}")
            born += 1
            continue
        some = draw.sample(held[name], min(len(held[name]), draw.below(8)))
        done += plan.take([answer(one) for one in some])
        held[name] = [one for one in held[name] if one not in some]
        if late and len(done) > late:
            held["late"] = held.get("late", [])
            plan.join("late")
    return done, losses


@pytest.mark.parametrize("seed", range(5))
def test_every_request_is_answered_once_though_replicas_die(seed):
    plan = Scheduler(requests(500), WIDTH)
    done, losses = play(plan, 3, seed, lambda held, draw: draw.below(40) == 0, late=100)
    assert losses
    assert sorted(int(one.key) for one in done) == list(range(500))
    assert sum(one.error is not None for one in done) <= 2


def test_a_request_that_kills_is_given_up_and_no_other():
    plan = Scheduler(requests(300), WIDTH)
    done, losses = play(plan, 2, 1, lambda held, _: any(one.key == "7" for one in held))
    assert sorted(int(one.key) for one in done) == list(range(300))
    assert [one.key for one in done if one.finish_reason == "error"] == ["7"]
    assert len(losses) == 4
    assert losses[-1] == 1


def test_an_answer_that_comes_twice_or_late_is_dropped():
    plan = Scheduler(requests(2), WIDTH)
    plan.join("a")
    (first,) = plan.give("a")
    assert plan.lose("a") == []
    plan.join("b")
    assert plan.take([answer(first)]) == []  # of the dead one: the request waits for another replica
    again = plan.give("b") + plan.give("b")
    assert [one.key for one in again] == ["0", "1"]
    assert len(plan.take([answer(one) for one in (*again, first)])) == 2
    assert plan.done


def test_portions_shrink_near_the_end_and_both_have_work():
    plan = Scheduler(requests(10), WIDTH)
    plan.join("a")
    plan.join("b")
    sizes = [len(plan.give(name)) for name in "abababab"]
    assert sizes[0] == 3
    assert sizes == sorted(sizes, reverse=True)
    assert abs(plan.n_held("a") - plan.n_held("b")) <= 2
    assert sum(sizes) == 10


def test_no_more_is_pulled_than_the_replicas_can_hold_and_a_batch_each():
    pulled = []
    plan = Scheduler((pulled.append(one) or one for one in requests(10_000)), WIDTH)
    plan.join("a")
    while plan.give("a"):
        pass
    assert plan.n_held("a") == 2 * WIDTH
    assert len(pulled) == 3 * WIDTH
