"""Chat template and special tokens of a model, read from the files of its folder without loading it."""

import json
import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from fathom.harness.engines.base import Request, RequestFailed, Sampling, Turn
from fathom.harness.engines.tokens import check_ids, render_text
from fathom.harness.engines.weights import embedding_rows, read_tensors
from fathom.harness.errors import BadInput, BrokenModel
from fathom.harness.settings import quiet_transformers

_TOKENIZER_FILES = (
    "added_tokens.json", "merges.txt", "special_tokens_map.json", "spiece.model", "tekken.json", "tokenizer.json",
    "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt",
)  # fmt: skip

_TEMPLATE_FILE = "chat_template.jinja"


def chat_template_of(path: Path) -> str | None:
    """Return the template that transformers uses: that of chat_template.jinja, else of the tokenizer, else None.

    Of several named templates, in a list or an object, it is the one named `default`.
    """
    if (path / _TEMPLATE_FILE).exists():
        return (path / _TEMPLATE_FILE).read_text(encoding="utf-8")
    found = _json_object(path / "tokenizer_config.json").get("chat_template")
    if isinstance(found, list):
        found = {one.get("name"): one.get("template") for one in found if isinstance(one, dict)}
    if isinstance(found, dict):
        found = found.get("default")
    return found if isinstance(found, str) and found else None


_CARD = "README.md"
_CARD_SHOTS = re.compile(r"fathom_shots:[ \t]*(\d{1,2})[ \t]*$", re.MULTILINE)


def card_shots(path: Path) -> int | None:
    """Return how many demonstrations a model's card asks for in plain text, as `fathom_shots: 0` in its metadata.

    The metadata are the lines between two lines of three dashes at the top of the card. None where they say nothing.
    """
    try:
        with (path / _CARD).open(encoding="utf-8", errors="replace") as file:
            start, *rest = file.read(_MOST_METADATA).split("\n---", 1)
    except OSError:
        return None
    found = _CARD_SHOTS.search(start) if rest and start.startswith("---\n") else None
    return int(found[1]) if found else None


_MOST_METADATA = 1 << 16
"""Characters of a card that are read."""


def added_tokens(path: Path) -> frozenset[str]:
    """Return the texts of the tokens added to a tokenizer, including special ones."""
    return frozenset(_added(path))


def _added(path: Path) -> Iterator[str]:
    for one in _json_object(path / "tokenizer.json").get("added_tokens") or ():
        yield str(one.get("content"))
    for one in (_json_object(path / "tokenizer_config.json").get("added_tokens_decoder") or {}).values():
        yield str(one.get("content"))
    yield from _json_object(path / "added_tokens.json")


def _json_object(file: Path) -> dict[str, Any]:  # JSON values
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def text_digest(text: str) -> str:
    """Return the BLAKE2b digest of a text, 32 hex digits."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def tokenizer_digest(path: Path) -> str:
    """Return the BLAKE2b digest of names and bytes of a tokenizer's files, 32 hex digits."""
    state = blake2b(digest_size=16)
    for file in (path / name for name in (*_TOKENIZER_FILES, _TEMPLATE_FILE)):
        if file.exists():
            state.update(f"{file.name}\0{file.stat().st_size}\0".encode())
            state.update(file.read_bytes())
    return state.hexdigest()


_PROBE = "What does Fathom ask?"
"""A user turn whose end is looked for in the rendered text; part of no template."""


def tail_of_template(path: Path, before: Sequence[Turn], options: tuple[tuple[str, object], ...]) -> str:
    """Return the text of the template between the last question and the model's answer.

    Raises:
        BadInput: the template does not accept such a chat, or leaves a turn of it out.
        BrokenModel: it writes tokens for which the model has no embedding.
    """
    quiet_transformers()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    asked = Request("", "", _PROBE, Sampling(1), (), (*before, Turn("user", _PROBE)), options)
    try:
        text = render_text(tokenizer, asked)
    except Exception as error:  # errors of jinja, and those that a template raises itself
        roles = ", ".join(turn.role for turn in asked.turns)
        raise BadInput(
            f"the chat template of {path.name} refuses turns of {roles} ({str(error).strip()[:200]}): leave out "
            "--system, or give --shots-as text"
        ) from error
    if _PROBE not in text:
        raise BadInput(f"the chat template of {path.name} leaves the question out: correct it, or leave out --chat")
    _check_turns(path, text, before)
    _check_tokens(path, tokenizer, text)
    return text.rpartition(_PROBE)[2]


def _check_turns(path: Path, text: str, turns: Sequence[Turn]) -> None:
    """Raise BadInput where a template writes a chat without one of its turns; white space may change."""
    words = " ".join(text.split())
    for turn in turns:
        if " ".join(turn.content.split()) not in words:
            hint = "leave out --system" if turn.role == "system" else "give --shots-as text"
            raise BadInput(
                f"the chat template of {path.name} leaves {turn.role} messages out, so that the model would not read "
                f"them: {hint}, or correct the template"
            )


def _check_tokens(path: Path, tokenizer: Any, text: str) -> None:  # Any: transformers ships no types
    n_embeddings = embedding_rows(read_tensors(path), _json_object(path / "config.json"))
    if n_embeddings is None:
        return
    try:
        check_ids(tokenizer, tokenizer(text, add_special_tokens=False)["input_ids"], n_embeddings)
    except RequestFailed as error:
        raise BrokenModel(f"the chat template of {path.name} uses what its model cannot read: {error}") from error
