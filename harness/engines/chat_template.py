"""Turn a model's folder into its chat template's text and its tokenizer's special texts; nothing is loaded."""

import json
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from fathom.harness.engines.base import Request, Sampling, Turn
from fathom.harness.engines.tokens import render_text
from fathom.harness.errors import BadInput
from fathom.harness.settings import quiet_transformers

_TOKENIZER = (
    "added_tokens.json", "merges.txt", "special_tokens_map.json", "spiece.model", "tekken.json", "tokenizer.json",
    "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt",
)  # fmt: skip


_TEMPLATE = "chat_template.jinja"


def chat_template_of(path: Path) -> str | None:
    """Return the template that transformers would use: that of its own file, else the tokenizer's, else none.

    Of several named ones, which may stand in a list or an object, it is the one called `default`.
    """
    if (path / _TEMPLATE).exists():
        return (path / _TEMPLATE).read_text(encoding="utf-8")
    found = _object(path / "tokenizer_config.json").get("chat_template")
    if isinstance(found, list):
        found = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
    if isinstance(found, dict):
        found = found.get("default")
    return found if isinstance(found, str) and found else None


def added_tokens(path: Path) -> frozenset[str]:
    """Return the texts of the tokens that were added to a tokenizer, special ones among them."""
    return frozenset(_added(path))


def _added(path: Path) -> Iterator[str]:
    for one in _object(path / "tokenizer.json").get("added_tokens") or ():
        yield str(one.get("content"))
    for one in (_object(path / "tokenizer_config.json").get("added_tokens_decoder") or {}).values():
        yield str(one.get("content"))
    yield from _object(path / "added_tokens.json")


def _object(file: Path) -> dict[str, Any]:  # JSON values
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def text_digest(text: str) -> str:
    """Hash a text; 32 hex digits."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def tokenizer_digest(path: Path) -> str:
    """Hash name and bytes of the files that make a tokenizer; 32 hex digits."""
    state = blake2b(digest_size=16)
    for file in (path / name for name in (*_TOKENIZER, _TEMPLATE)):
        if file.exists():
            state.update(f"{file.name}\0{file.stat().st_size}\0".encode())
            state.update(file.read_bytes())
    return state.hexdigest()


_ASKED = "What does Fathom ask?"


def tail_of_template(path: Path, before: Sequence[Turn], options: tuple[tuple[str, object], ...]) -> str:
    """Return what the template writes behind the last question, the model's turn being next.

    Raises:
        BadInput: the template refuses such a chat.
    """
    quiet_transformers()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    asked = Request("", "", _ASKED, Sampling(1), (), (*before, Turn("user", _ASKED)), options)
    try:
        text = render_text(tokenizer, asked)
    except Exception as error:  # jinja raises its own, and whatever a template's author wished
        roles = ", ".join(turn.role for turn in asked.turns)
        raise BadInput(
            f"the chat template of {path.name} refuses turns of {roles} ({str(error).strip()[:200]}): leave out "
            "--system, or give --shots-as text"
        ) from error
    if _ASKED not in text:
        raise BadInput(f"the chat template of {path.name} leaves the question out: mend it, or ask without --chat")
    return text.rpartition(_ASKED)[2]
