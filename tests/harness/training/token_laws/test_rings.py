"""The answer to every question is the name that so many arrows on stands in the row itself."""

import numpy as np

from fathom.harness.training.token_laws import rings


def test_each_answer_follows_the_arrows_of_its_row():
    drawn = rings.draw_rings(20, np.random.default_rng(3))
    answers = drawn.rows[:, 1:][:, rings.ANSWERS]
    for row, said, hops in zip(drawn.rows.tolist(), answers.tolist(), drawn.hops.tolist(), strict=True):
        arrows = row[1 : rings.FIRST_QUESTION]
        follow = dict(zip(arrows[::2], arrows[1::2], strict=True))
        asked = row[rings.FIRST_QUESTION :]
        assert set(follow) == set(follow.values()) == set(asked[1::3])
        assert asked[2::3] == said
        assert [one - rings.START for one in asked[::3]] == hops
        for start, k, answer in zip(asked[1::3], hops, said, strict=True):
            for _ in range(k):
                start = follow[start]
            assert start == answer


def test_rows_have_the_stated_width_and_tokens():
    rows = rings.draw_rings(20, np.random.default_rng(3)).rows
    assert rows.shape == (20, rings.CONTEXT)
    assert rows.max() == rings.N_TOKENS - 1
