"""The example of training by rewards: a minute of it makes a small model better at questions that it never met."""

from statistics import mean

import pytest

from fathom.harness.training.reinforce import reinforce
from fathom.tasks.environments import environment


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_reward_rises_within_a_minute():
    rewards = list(reinforce(environment("depo", "n8k3", style="cot"), seconds=60))
    assert len(rewards) >= 6, "too slow a machine: it asked too few questions"
    assert mean(rewards[-3:]) > rewards[0] + 0.1, rewards
