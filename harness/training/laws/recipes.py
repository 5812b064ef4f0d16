"""The recipes of a law: one TOML file with a base, and what each scale and each condition changes of it.

The file is a recipe without a name, with two more tables. A table `[scales.NAME]` or `[conditions.NAME]` holds
overrides, each a dotted key and its new value; a number in the key counts the entries of a list, as in
`corpus.0.options.hint = 1`. Overrides of a scale come first and may also change those of a condition.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fathom.harness.errors import BadRecipe
from fathom.harness.training.corpora.mix import read_toml
from fathom.harness.training.recipe import RECIPES_FOLDER, Recipe, check_recipe

LAW_RECIPES_FOLDER = RECIPES_FOLDER / "laws"


def read_law_recipe(path: Path, condition: str, scale: str) -> Recipe:
    """Read a law's file and return the recipe of one condition at one scale, named law-LAW-CONDITION-SCALE.

    A scale or condition without a table of its own is that of the base.

    Raises:
        BadRecipe: the file cannot be read, an override does not fit the base, or the recipe is not sound.
    """
    try:
        values = read_toml(path)
        for table, name in (("scales", scale), ("conditions", condition)):
            values = _override(values, _overrides(values.pop(table, {}), table, name))
    except OSError as error:
        raise BadRecipe(f"cannot read {path} ({error.strerror})") from error
    except ValueError as error:
        raise BadRecipe(f"{path}: {error}") from error
    return check_recipe({"name": f"law-{path.stem}-{condition}-{scale}", **values}, path)


def _overrides(tables: object, kind: str, name: str) -> Mapping[str, Any]:  # values of TOML
    found = tables.get(name, {}) if isinstance(tables, Mapping) else None
    if not isinstance(found, Mapping):
        raise ValueError(f"{kind}: write overrides as tables, [{kind}.{name}]")
    return found


def _override(base: Any, changes: Any, key: str = "") -> Any:  # values of TOML
    """Return a copy of `base` with `changes`; keys keep their order, since a recipe's digest depends on it."""
    if not isinstance(changes, Mapping) or not isinstance(base, dict | list):
        return changes
    changed = base.copy()
    for name, value in changes.items():
        path = f"{key}.{name}".lstrip(".")
        if isinstance(changed, dict):
            changed[name] = _override(changed.get(name), value, path)
        elif name.isdecimal() and int(name) < len(changed):
            changed[int(name)] = _override(changed[int(name)], value, path)
        else:
            raise ValueError(f"{path}: the list has the entries 0 to {len(changed) - 1}")
    return changed
