"""Nobody imports a higher layer by a string, where import-linter cannot see it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAYERS = next(
    one["layers"]
    for one in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    if one["name"] == "layers, from top to bottom"
)
HEIGHT = {name.strip(): len(LAYERS) - at for at, names in enumerate(LAYERS) for name in names.split("|")}
BY_STRING = re.compile(r"""(?:import_module|__import__|resolve_name|run_module)\(\s*f?["'](fathom[\w.]*)""")


def height(module):
    return next((HEIGHT[name] for name in HEIGHT if module == name or module.startswith(f"{name}.")), 0)


def test_no_module_imports_a_higher_layer_by_its_name():
    found = 0
    for package in ("harness", "server", "tasks"):
        for file in (ROOT / package).rglob("*.py"):
            own = height("fathom." + ".".join(file.relative_to(ROOT).with_suffix("").parts))
            for target in BY_STRING.findall(file.read_text(encoding="utf-8")):
                found += 1
                assert 0 < height(target.rstrip(".")) <= own, f"{file} imports {target}"
    assert found  # the registries of families, corpora and laws
