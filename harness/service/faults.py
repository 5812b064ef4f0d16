"""Fault codes of jobs: what failed, how to fix it, and whether a retry can help."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail. With `ours` the submitter is not to blame, and the quota is returned."""

    code: str
    permanent: bool
    words: str
    fix: str
    ours: bool = False


_TABLE = (
    Fault("gated", True, "The model is gated: its owner decides who may download it.",
          "Ask the owner to open it, or submit a model that anybody may download."),
    Fault("missing", True, "The hub has no such model or revision, or no longer has it.",
          "Check the name and the revision; a private model must be made public."),
    Fault("no_safetensors", True, "The weights are not stored as safetensors, the only format loaded here.",
          "Convert them with save_pretrained, and submit the new revision."),
    Fault("remote_code_required", True, "The model needs code from its repository, which is never run here.",
          "Submit a version that transformers loads without trust_remote_code."),
    Fault("unsupported_architecture", True, "The engine does not know this architecture.",
          "Choose another engine, or wait until the engine supports it."),
    Fault("no_chat_template", True, "A chat template was requested, and the model has none.",
          "Submit it without a chat template, or add one to its tokenizer."),
    Fault("nan_logits", True, "The model's log-likelihoods are not finite.",
          "Try another precision: bfloat16 or float32 instead of float16."),
    Fault("bad_model", True, "The model's files are incomplete, damaged, or contradict each other.",
          "Load them once yourself with transformers, upload them again, and submit the new revision."),
    Fault("folder_changed", True, "The folder is gone, or its files are no longer those that were submitted.",
          "Submit the folder again."),
    Fault("too_large", True, "The model is too large for the workers here.",
          "Submit a smaller or quantised model."),
    Fault("hub_5xx", False, "The hub answered with an error of its own.", "Nothing: submit it again later.", ours=True),
    Fault("hub_timeout", False, "The hub did not answer in time.", "Nothing: submit it again later.", ours=True),
    Fault("worker_lost", False, "The worker sent no heartbeat for too long.", "Nothing: submit it again.", ours=True),
    Fault("out_of_memory", False, "The model did not fit the memory of the worker.",
          "Submit it at a lower precision, or wait for a larger worker.", ours=True),
    Fault("engine_failed", False, "The engine or the server failed.",
          "Read the log below; submit it again, or report it.", ours=True),
)  # fmt: skip

FAULTS = {fault.code: fault for fault in _TABLE}
"""Faults by code, permanent ones first. Other faults are retried, out_of_memory only once."""


def fault_of(code: str) -> Fault:
    """Return the fault of a code; `engine_failed` for an unknown code."""
    return FAULTS.get(code, FAULTS["engine_failed"])
