import importlib.util
import json
from pathlib import Path

import pytest

from fathom.tasks.registry import all_families

GOLDEN = Path(__file__).parents[1] / "golden"
SPEC = importlib.util.spec_from_file_location("golden_write", GOLDEN / "write.py")
write = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(write)


@pytest.mark.parametrize("family", all_families().values(), ids=lambda family: family.name)
def test_items_do_not_change_without_a_raised_version(family):
    pinned = json.loads((GOLDEN / f"{family.name}.json").read_text(encoding="utf-8"))
    assert pinned["version"] == family.version, "the version was raised: run `make golden` and review the diff"
    assert write.digests(family) == pinned, "items changed: raise the family's version, then `make golden`"


@pytest.mark.parametrize("family", all_families().values(), ids=lambda family: family.name)
def test_the_readable_golden_file_is_fresh(family):
    assert (GOLDEN / f"{family.name}.txt").read_text(encoding="utf-8") == write.readable(family)
