"""The fault code that fits what an engine, a library or an exception says."""

import re

from fathom.harness.errors import FathomError

_SIGNS = (
    ("out_of_memory", "out of memory|outofmemory|cannot allocate|defaultcpuallocator|memoryerror"),
    ("out_of_memory", "no available memory for the cache|free memory on device|kv cache is needed"),
    ("remote_code_required", "trust_remote_code|contains custom code"),
    ("no_chat_template", "chat_template|chat template"),
    ("no_safetensors", r"no \*\.safetensors|no file named model\.safetensors|cannot find any model weights"),
    (
        "unsupported_architecture",
        "does not recognize this architecture|not supported for now|has no vllm implementation",
    ),
    ("unsupported_architecture", "unrecognized configuration class|unrecognized model|architectures .* failed"),
    ("nan_logits", r"probability tensor contains|non-finite|\bnan\b"),
    ("bad_model", "safetensor|size mismatch|config\\.json|its header promises|tokenizer|loading weights|missing key"),
)
"""Patterns of error texts in lower case, by fault code; the first match counts."""


class JobFailed(FathomError):
    """A job cannot be done: a code of `harness.service.faults`, and the end of the log that shows why."""

    exit_code = 3

    def __init__(self, code: str, tail: str) -> None:
        super().__init__(f"{code}: {tail.strip().splitlines()[-1] if tail.strip() else 'no log'}")
        self.code, self.tail = code, tail


def code_of(error: BaseException) -> str:
    """Return the fault code of an exception and its causes; `engine_failed` where no pattern matches."""
    said = []
    link: BaseException | None = error
    while link is not None:
        said.append(f"{type(link).__name__}: {link}")
        link = link.__cause__ or link.__context__
    return code_in("\n".join(said))


def code_in(text: str) -> str:
    """Return the fault code that matches an error text; `engine_failed` where none does."""
    return next((code for code, sign in _SIGNS if re.search(sign, text.lower())), "engine_failed")
