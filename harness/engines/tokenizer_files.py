"""What a tokenizer's files tell without loading it: the numbers of its tokens."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fathom.harness.engines.tokens import RESIZE
from fathom.harness.errors import BrokenModel


def check_vocabulary(path: Path, n_embeddings: int) -> None:
    """Raise BrokenModel where a tokenizer has words, or puts tokens around texts, that the model has no embedding for.

    Added tokens are allowed to lie beyond: some models have a few that no text contains. Engines refuse prompts with
    such a token.
    """
    found = _read(path / "tokenizer.json")
    highest = max((*_words(found.get("model")), *_framing(found.get("post_processor"))), default=0)
    if highest >= n_embeddings:
        raise BrokenModel(
            f"the tokenizer of {path} has tokens up to {highest}, and the model has embeddings for {n_embeddings}: "
            f"{RESIZE}"
        )


def _read(file: Path) -> dict[str, Any]:  # JSON values
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise BrokenModel(f"{file} cannot be read ({error}): fetch the model again") from error
    return found if isinstance(found, dict) else {}


def _words(model: Any) -> Iterator[int]:  # JSON values
    """Yield the highest number of a vocabulary: an object of numbers by word, or a list in their order."""
    vocabulary = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(vocabulary, dict):
        yield max((one for one in vocabulary.values() if isinstance(one, int)), default=0)
    elif isinstance(vocabulary, list):
        yield len(vocabulary) - 1


def _framing(processor: Any) -> Iterator[int]:  # JSON values
    """Yield the numbers of the tokens that are put around every text."""
    if not isinstance(processor, dict):
        return
    for one in (processor.get("special_tokens") or {}).values():
        yield from one.get("ids", ())
    for part in processor.get("processors") or ():
        yield from _framing(part)
