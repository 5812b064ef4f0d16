"""Say how a submission's job can fail: in plain words, with the fix, and whether trying again may help."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail. `ours` says that the submitter could not help it, so it costs no quota."""

    code: str
    permanent: bool
    words: str
    fix: str
    ours: bool = False


_TABLE = (
    Fault("gated", True, "The model is gated: its owner gives it to those who ask.",
          "Ask its owner to open it, or submit one that anybody may download."),
    Fault("missing", True, "The hub has no such model or revision, or no longer has it.",
          "Check the name and the revision; a private model must be made public."),
    Fault("no_safetensors", True, "The weights are not stored as safetensors, the only format that is loaded here.",
          "Convert them with save_pretrained, and submit the new revision."),
    Fault("remote_code_required", True, "The model needs code of its own repository, which is never run here.",
          "Submit a version that transformers loads without trust_remote_code."),
    Fault("unsupported_architecture", True, "The engine does not know this architecture.",
          "Choose another engine, or wait until the engine supports it."),
    Fault("no_chat_template", True, "A chat template was asked for, and the model brings none.",
          "Submit it without a chat template, or add one to its tokenizer."),
    Fault("nan_logits", True, "The model gives numbers that are not finite.",
          "Try another precision: bfloat16 or float32 instead of float16."),
    Fault("bad_model", True, "The model's files are incomplete, damaged, or contradict each other.",
          "Load them once yourself with transformers, upload them again, and submit the new revision."),
    Fault("too_large", True, "The model is larger than any worker here can hold.",
          "Submit a smaller or quantised model."),
    Fault("hub_5xx", False, "The hub answered with an error of its own.", "Nothing: submit it again later.", ours=True),
    Fault("hub_timeout", False, "The hub did not answer in time.", "Nothing: submit it again later.", ours=True),
    Fault("worker_lost", False, "The worker went silent while it had the job.", "Nothing: submit it again.", ours=True),
    Fault("out_of_memory", False, "The model did not fit the memory of the worker.",
          "Submit it at a lower precision, or wait for a larger worker.", ours=True),
    Fault("engine_failed", False, "The engine broke down, or something of ours did.",
          "Read the log below; submit it again, or report it.", ours=True),
)  # fmt: skip

FAULTS = {fault.code: fault for fault in _TABLE}
"""By code, permanent ones first. A transient fault is tried again, out_of_memory only once."""


def fault_of(code: str) -> Fault:
    """Return a code's fault; of a code that is not known, that of `engine_failed`."""
    return FAULTS.get(code, FAULTS["engine_failed"])
