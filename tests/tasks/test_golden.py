"""Items never change without a raised version: their digests are pinned in tests/golden."""

import importlib.util
import json
import os
from pathlib import Path

import pytest

from fathom.tasks.base import channels_of
from fathom.tasks.registry import all_families
from fathom.tasks.stream import Stream
from fathom.tasks.suite_tables import TABLES

GOLDEN = Path(__file__).parents[1] / "golden"
SPEC = importlib.util.spec_from_file_location("golden_write", GOLDEN / "write.py")
write = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(write)

PINNED = write.pinned_families()
SHARE = 8
"""One level in eight is compared, chosen by the seed of the test run; `make test-full` compares all of them."""


def pinned(family):
    return json.loads((GOLDEN / f"{family.name}.json").read_text(encoding="utf-8"))


def cells():
    seed = os.environ.get("FATHOM_TEST_SEED", "0")
    for family in PINNED:
        for level in family.levels.values():
            for channel in channels_of(family, level):
                is_sampled = Stream("golden", seed, family.name, level.name, channel).below(SHARE) == 0
                marks = [] if is_sampled else [pytest.mark.full]
                yield pytest.param(family, level.name, channel, marks=marks, id=f"{family.name}-{level.name}-{channel}")


@pytest.mark.parametrize(("family", "level", "channel"), list(cells()))
@pytest.mark.slow
@pytest.mark.cases(4)
def test_items_do_not_change_without_a_raised_version(family, level, channel):
    digest = write.digest(family, level, channel)
    assert digest == pinned(family)["levels"][f"{level}/{channel}"], (
        "items changed: raise the family's version, then `make golden`"
    )


@pytest.mark.parametrize("family", PINNED, ids=lambda family: family.name)
def test_every_level_is_pinned_at_the_familys_version(family):
    found = pinned(family)
    assert found["version"] == family.version, "the version was raised: run `make golden` and review the diff"
    levels = [f"{level.name}/{channel}" for level in family.levels.values() for channel in channels_of(family, level)]
    assert list(found.pop("levels")) == levels
    assert found == {"family": family.name, "version": family.version, "seed": write.SEED, "n": write.N}


@pytest.mark.parametrize("family", PINNED, ids=lambda family: family.name)
def test_the_readable_golden_file_is_fresh(family):
    assert (GOLDEN / f"{family.name}.txt").read_text(encoding="utf-8") == write.readable(family)


def test_every_family_of_a_suite_has_pinned_items():
    asked = {row.family for table in TABLES.values() for row in table}
    assert asked <= {family.name for family in PINNED}
    names = {path.stem for path in GOLDEN.glob("*.json")} - {"corpora"}
    assert names <= set(all_families()), "golden files of a family that is gone"


def test_the_tables_of_the_readme_are_fresh():
    text = write.README.read_text(encoding="utf-8")
    assert write.with_tables(text) == text, "run `make golden`"
    assert text.count("| `depo` | `start`: ") == 1
    assert len(text.splitlines()) <= 200
