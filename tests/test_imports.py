"""Nobody names a higher layer in a string, where import-linter cannot see it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS = next(one["layers"] for one in CONTRACTS if one["name"] == "layers, from top to bottom")
HEIGHT = {name.strip(): len(LAYERS) - at for at, names in enumerate(LAYERS) for name in names.split("|")}
NAMED = re.compile(r"""["'](fathom\.(?:harness|server|tasks)(?:\.\w+)+)""")
BY_STRING = re.compile(r"\b(import_module|__import__|resolve_name|run_module|run_path)\(")


def height(module):
    return next((HEIGHT[name] for name in HEIGHT if module == name or module.startswith(f"{name}.")), 0)


def sources():
    for package in ("harness", "server", "tasks"):
        for file in (ROOT / package).rglob("*.py"):
            yield file.relative_to(ROOT), file.read_text(encoding="utf-8")


def test_no_string_names_a_module_of_a_higher_layer():
    named = [(file, module) for file, text in sources() for module in NAMED.findall(text)]
    assert named  # the modules that workers start, the application that server processes load
    for file, module in named:
        own = height("fathom." + ".".join(file.with_suffix("").parts))
        assert 0 < height(module) <= own, f"{file} names {module}"


def test_only_the_loader_of_plugins_imports_by_string():
    assert [str(file) for file, text in sources() if BY_STRING.search(text)] == [
        "harness/reports/audit/audit.py",  # a user's own solver
        "tasks/registry.py",
    ]
