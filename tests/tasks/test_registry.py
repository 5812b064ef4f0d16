"""Plug-ins are found by their package; a module that defines none, or a name twice, is reported."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from fathom.tasks.registry import BadPlugin, load_plugins

_PLUGIN = """
class Thing:
    name = {name!r}

THING = Thing()
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Make a package of two plug-ins and a helper, imported from a folder of its own."""
    folder = tmp_path / "things"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for module, name in (("zebra", "a"), ("apple", "b")):
        (folder / f"{module}.py").write_text(_PLUGIN.format(name=name), encoding="utf-8")
    (folder / "helper.py").write_text("NUMBER = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield import_module("things")
    for name in [name for name in sys.modules if name.partition(".")[0] == "things"]:
        del sys.modules[name]


def test_plug_ins_are_sorted_by_name(package):
    assert list(load_plugins(package, "THING", besides=("helper",))) == ["a", "b"]


def test_a_module_without_the_constant_is_reported(package):
    with pytest.raises(BadPlugin, match=r"helper\.py defines no THING"):
        load_plugins(package, "THING")


def test_two_plug_ins_of_one_name_are_reported(package):
    folder = Path(package.__path__[0])
    (folder / "copy.py").write_text(_PLUGIN.format(name="a"), encoding="utf-8")
    with pytest.raises(BadPlugin, match=r"zebra\.py and .*copy\.py both define 'a'"):
        load_plugins(package, "THING", besides=("helper",))
