"""Laws are registered first, finished once, and attempts are counted."""

from dataclasses import replace

import pytest

from fathom.harness.db.laws import finish_law, list_laws, newest_by_shape, register_law, trials_of
from fathom.harness.errors import UnknownLaw
from tests.stored_law import DESIGN, RESULT, TRIALS, WHEN, new_law


def test_a_registration_is_kept_before_any_result(db):
    register_law(db, new_law("tiny", "a"))
    (kept,) = list_laws(db, "tiny")
    assert (kept.result, kept.registered, kept.design) == (None, WHEN, DESIGN)


def test_confirming_registrations_are_counted_and_exploratory_ones_are_not(db):
    assert [register_law(db, new_law("tiny", digest)) for digest in "aab"] == [1, 1, 2]
    assert register_law(db, new_law("tiny", "c", "exploratory")) == 0
    assert register_law(db, new_law("other", "d")) == 1
    assert [(one.digest, one.attempt, one.n_attempts) for one in list_laws(db, "tiny")] == [
        ("b", 2, 2), ("a", 1, 2), ("c", 0, 2),
    ]  # fmt: skip


def test_attempts_are_counted_by_shape_and_old_registrations_have_the_plain_one(db):
    old = new_law("tiny", "a")
    old = replace(old, registration={name: one for name, one in old.registration.items() if name != "shape"})
    assert [register_law(db, one) for one in (old, new_law("tiny", "b"), new_law("tiny", "c", shape="nope"))] == [
        1,
        2,
        1,
    ]
    kept = list_laws(db, "tiny")
    assert {one.digest: (one.shape, one.n_attempts) for one in kept} == {
        "a": ("llama", 2), "b": ("llama", 2), "c": ("nope", 1),
    }  # fmt: skip
    newest = newest_by_shape(kept)["tiny"]
    assert {shape: one.digest for shape, one in newest.items()} == {"nope": "c", "llama": "b"}


def test_the_first_result_of_a_registration_stands(db):
    register_law(db, new_law("tiny", "a"))
    assert finish_law(db, "a", RESULT, TRIALS, WHEN)
    assert not finish_law(db, "a", replace(RESULT, verdict="reversed"), TRIALS, WHEN)
    (kept,) = list_laws(db)
    assert (kept.result, trials_of(db, kept.id)) == (RESULT, TRIALS)


def test_what_is_not_registered_cannot_be_finished(db):
    with pytest.raises(UnknownLaw):
        finish_law(db, "a", RESULT, TRIALS, WHEN)
