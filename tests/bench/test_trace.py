"""A small run stays short enough to follow."""

import re
import subprocess
import sys

import pytest

from tests.bench.trace import ROOT

MOST_FILES, MOST_MOVES = 40, 300


@pytest.mark.slow
@pytest.mark.turns(2)
def test_a_run_of_two_items_moves_between_few_files():
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.trace"], capture_output=True, text=True, cwd=ROOT, timeout=200
    )
    assert done.returncode == 0, done.stderr
    n_files, n_moves = map(int, re.match(r"(\d+) files, (\d+) moves", done.stdout).groups())
    assert n_files <= MOST_FILES
    assert n_moves <= MOST_MOVES
