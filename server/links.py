"""Turn models and runs into addresses of this site."""

import re
from urllib.parse import quote, urlencode

from harness.db.board import Model

_PLAIN = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95}){0,3}", re.ASCII)


def model_key(model: Model) -> str:
    """Name a model in an address: by its name where that is plain, else by ~ and its number."""
    return model.name if _PLAIN.fullmatch(model.name) else f"~{model.id}"


def model_path(model: Model) -> str:
    """Return the address of a model's page."""
    return f"/models/{quote(model_key(model))}"


def badge_path(model: Model) -> str:
    """Return the address of a model's badge."""
    return f"/badge/{quote(model_key(model))}.svg"


def compare_path(first: Model, second: Model) -> str:
    """Return the address of the comparison of two models."""
    return "/compare?" + urlencode({"m": [model_key(first), model_key(second)]}, doseq=True)
