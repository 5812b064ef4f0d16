"""A season can be checked by anybody afterwards: one changed bit is found."""

import copy
import hashlib
import hmac
import json

import pytest

from fathom.harness.errors import BadInput
from fathom.harness.service.seasons import commitment as seasons
from fathom.harness.service.seasons.commitment import (
    canonical,
    commitment_of,
    season_seed_of,
    suite_of,
    terms_of,
    verify_season,
)
from fathom.harness.service.seasons.vault import lock, unlock
from fathom.tasks.base import Verdict
from fathom.tasks.registry import find_family
from fathom.tasks.suites import open_suite

SECRET = bytes(range(32))
BEACON = "8f3a77c1d2e94b0aa1f6"
KEY = "k" * 32


@pytest.fixture(scope="module")
def revealed():
    """The document of a small season that went well."""
    terms = terms_of("2026-winter", "quick", 2).to_json()
    suite = suite_of("quick", season_seed_of(SECRET, "2026-winter", BEACON), 2)
    return {
        "season": "2026-winter", "suite": "quick", "terms": terms, "commitment": commitment_of(terms, SECRET),
        "beacon": BEACON, "suite_digest": suite.digest(), "secret": SECRET.hex(),
    }  # fmt: skip


def failures(document):
    return {check.name for check in verify_season(document) if not check.ok}


def test_canonical_json_does_not_depend_on_order_and_is_ascii():
    assert canonical({"b": 1, "a": "é"}) == b'{"a":"\\u00e9","b":1}' == canonical({"a": "é", "b": 1})


def test_the_seed_is_an_hmac_of_season_and_beacon():
    message = json.dumps({"beacon": BEACON, "season": "s"}, separators=(",", ":"), sort_keys=True).encode()
    assert season_seed_of(SECRET, "s", BEACON) == hmac.new(SECRET, message, hashlib.sha256).hexdigest()
    assert (
        len(
            {
                season_seed_of(SECRET, "s", BEACON),
                season_seed_of(SECRET, "t", BEACON),
                season_seed_of(SECRET, "s", BEACON + "0"),
            }
        )
        == 3
    )


def test_the_commitment_is_the_hash_of_terms_and_secret(revealed):
    text = json.dumps({**revealed["terms"], "secret": SECRET.hex()}, separators=(",", ":"), sort_keys=True)
    assert revealed["commitment"] == hashlib.sha256(text.encode()).hexdigest()


def test_a_season_that_went_well_is_verified(revealed):
    checks = verify_season(json.loads(json.dumps(revealed)))
    assert all(check.ok for check in checks)
    assert {"commitment", "prompt digest", "grader digest", "generator versions", "number of items"} <= {
        check.name for check in checks
    }


def flip(text):
    return f"{int(text[0], 16) ^ 1:x}{text[1:]}"


def test_one_flipped_bit_in_the_secret_is_found(revealed):
    assert {"commitment", "every item of the suite"} <= failures({**revealed, "secret": flip(revealed["secret"])})


@pytest.mark.parametrize("field", ["prompt_digest", "grader_digest", "cells_digest"])
def test_one_flipped_bit_in_a_digest_is_found(revealed, field):
    terms = {**revealed["terms"], field: flip(revealed["terms"][field])}
    assert failures({**revealed, "terms": terms}) == {"commitment", field.replace("_", " ")}


@pytest.mark.parametrize(("field", "name"), [("n_items", "number of items"), ("n_cells", "number of cells")])
def test_another_count_is_found(revealed, field, name):
    terms = {**revealed["terms"], field: revealed["terms"][field] ^ 1}
    assert failures({**revealed, "terms": terms}) == {"commitment", name}


def test_another_generator_version_is_found(revealed):
    terms = copy.deepcopy(revealed["terms"])
    terms["generators"]["depo"] ^= 1
    assert failures({**revealed, "terms": terms}) == {"commitment", "generator versions"}


def test_a_commitment_made_afterwards_does_not_hide_another_version(revealed):
    terms = copy.deepcopy(revealed["terms"])
    terms["generators"]["depo"] ^= 1
    forged = {**revealed, "terms": terms, "commitment": commitment_of(terms, SECRET)}
    assert failures(forged) == {"generator versions"}


@pytest.mark.parametrize("field", ["beacon", "suite_digest"])
def test_another_beacon_or_suite_digest_is_found(revealed, field):
    assert failures({**revealed, field: flip(revealed[field])}) == {"every item of the suite"}


def test_another_count_of_items_a_cell_is_found(revealed):
    terms = {**revealed["terms"], "n": 3}
    assert {"commitment", "number of items", "every item of the suite"} <= failures({**revealed, "terms": terms})


def test_terms_of_a_suite_that_is_not_there_fail_without_raising(revealed):
    for wrong in ({"suite": "other"}, {"n": "2"}, {"n": -1}):
        assert "suite" in failures({**revealed, "terms": {**revealed["terms"], **wrong}})


@pytest.mark.parametrize("field", ["secret", "commitment", "beacon", "terms", "suite_digest"])
def test_a_season_that_is_not_revealed_says_so(revealed, field):
    with pytest.raises(BadInput, match="not revealed yet"):
        verify_season({**revealed, field: None})


@pytest.mark.parametrize("wrong", [{"secret": "zz"}, {"secret": 7}, {"terms": 7}])
def test_a_document_of_another_shape_is_bad_input(revealed, wrong):
    with pytest.raises(BadInput, match="hex digits"):
        verify_season({**revealed, **wrong})


class Changed:
    """A family whose behaviour was changed without another version."""

    def __init__(self, family, **changed):
        self._family, self._changed = family, changed

    def __getattr__(self, name):
        return self._changed.get(name) or getattr(self._family, name)


def test_terms_bind_what_the_code_does_not_only_its_version(monkeypatch):
    depo, suite = find_family("depo"), open_suite("quick", 7)
    before = seasons.hash_prompts(suite), seasons.hash_verdicts(suite)
    kinder = Changed(depo, judge=lambda item, answer, text: Verdict(True, answer, "correct"))
    monkeypatch.setattr(seasons, "find_family", lambda name: kinder if name == "depo" else find_family(name))
    assert (before[0], True) == (seasons.hash_prompts(suite), before[1] != seasons.hash_verdicts(suite))


def test_a_secret_opens_with_its_key_and_its_season_only():
    locked = lock(SECRET, "2026-winter", KEY)
    assert unlock(locked, "2026-winter", KEY) == SECRET
    assert SECRET not in locked
    assert locked != lock(SECRET, "2026-winter", KEY)
    for season, key in (("2026-spring", KEY), ("2026-winter", "j" * 32)):
        with pytest.raises(BadInput, match="does not decrypt"):
            unlock(locked, season, key)
    with pytest.raises(BadInput, match="does not decrypt"):
        unlock(locked[:-1] + bytes([locked[-1] ^ 1]), "2026-winter", KEY)


@pytest.mark.parametrize("key", ["", "short"])
def test_without_a_key_the_error_says_how_to_make_one(key):
    with pytest.raises(BadInput, match="openssl rand -hex 32"):
        lock(SECRET, "s", key)
