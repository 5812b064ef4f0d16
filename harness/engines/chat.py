"""Turn a chat into the text that a model's template makes of it, before any weights are loaded."""

from collections.abc import Sequence
from pathlib import Path

from harness.engines.base import Request, Sampling, Turn
from harness.engines.tokens import rendered
from harness.errors import BadInput
from harness.settings import quiet_transformers

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
        text = rendered(tokenizer, asked)
    except Exception as error:  # jinja raises its own, and whatever a template's author wished
        roles = ", ".join(turn.role for turn in asked.turns)
        raise BadInput(
            f"the chat template of {path.name} refuses turns of {roles} ({str(error).strip()[:200]}): leave out "
            "--system, or give --shots-as text"
        ) from error
    if _ASKED not in text:
        raise BadInput(f"the chat template of {path.name} leaves the question out: mend it, or ask without --chat")
    return text.rpartition(_ASKED)[2]
