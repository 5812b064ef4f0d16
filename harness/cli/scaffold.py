"""A package that brings a new family: the complete example of tasks/README.md under another name."""

import re
from importlib.metadata import version
from pathlib import Path

from fathom import tasks
from fathom.harness.errors import BadInput
from fathom.tasks.registry import get_family

_NAME = re.compile(r"[a-z]{3,20}")
_EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)

_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "fathom-{name}"
version = "0.1.0"
description = "The family {name} for Fathom"
requires-python = ">=3.11"
dependencies = ["fathom>={fathom}"]

[project.entry-points."fathom.families"]
{name} = "fathom_{name}:FAMILY"

[tool.hatch.build.targets.wheel]
packages = ["fathom_{name}"]
"""

_README = """\
# fathom-{name}

The family `{name}` for Fathom. `fathom_{name}/__init__.py` is a complete family: change it step by step.

    pip install -e .
    fathom families {name}
    pytest
    fathom audit {name}
    fathom run --model oracle/noisy --engine oracle --families {name}

Fathom's own contract, in a checkout of Fathom: `pytest --full tests/tasks/test_contract.py -k {name}`.

Results stand in a suite of their own, `fathom-{name}`. Any change of a file here makes other items, which are never
ranked or compared with earlier ones; raise `version` in `pyproject.toml` when you publish.
"""

_TEST = """\
\"\"\"Solve each question from its text, by another way than the generator.\"\"\"

import re

import pytest

from fathom.tasks import find_family, make_instance
from fathom.tasks.base import demonstrate, grade

FAMILY = find_family("{name}")


def solve(question: str) -> str:
    circle = re.search(r"circle: (.*)\\.", question)[1].split()
    steps, start = re.search(r"comes (\\d+) after (\\S+)\\?", question).groups()
    return circle[(circle.index(start) + int(steps)) % len(circle)]


@pytest.mark.parametrize("level", FAMILY.levels)
def test_a_second_way_finds_the_gold(level):
    for index in range(100):
        item = make_instance(FAMILY, level, "symbol", 7, index)
        assert solve(item.question) == item.gold


@pytest.mark.parametrize("style", FAMILY.styles)
def test_the_gold_is_right_and_an_empty_answer_is_not(style):
    item = make_instance(FAMILY, next(iter(FAMILY.levels)), "symbol", 7, 0)
    assert grade(FAMILY, item, demonstrate(FAMILY, item, style)).correct
    assert not grade(FAMILY, item, "").correct
"""


def write_package(name: str, folder: Path) -> str:
    """Write a package with the family `name` into a new folder; return what to do next.

    Raises:
        BadInput: no name, one that is taken, or a folder that exists.
    """
    if not _NAME.fullmatch(name):
        raise BadInput(
            f"{name!r} is no name of a family: give 3 to 20 letters a-z, as in `fathom families maze --new maze`"
        )
    if get_family(name) is not None:
        raise BadInput(f"there is a family {name} already: give another name")
    if folder.exists():
        raise BadInput(f"{folder} exists: name a folder that does not")
    family = (Path(tasks.__file__).parent / "README.md").read_text(encoding="utf-8")
    code = _EXAMPLE.findall(family)[0].replace("toy", name).replace("Toy", name.capitalize())
    facts = {"name": name, "fathom": version("fathom")}
    files = {
        "pyproject.toml": _PROJECT.format(**facts),
        "README.md": _README.format(**facts),
        f"fathom_{name}/__init__.py": code,
        f"tests/test_{name}.py": _TEST.format(**facts),
    }
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    return f"wrote {folder}: next `pip install -e {folder}`, then `fathom families {name}`"
