"""How long an engine idles while depths are measured: it should wait for nothing but the end of the last ladder.

    python -m tests.bench.idle [--tokens-per-second 1000]

The engine is simulated: it works on up to 256 requests at once, makes a fixed number of tokens a second over all of them,
4 tokens for a direct answer and 30 for a worked one, and takes its answers from the noisy oracle. All 20 ladders of the
suite `depth` run side by side, through lm-eval and a real database. It prints the share of time without a request, and
the mean number of requests in the engine.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from unittest.mock import patch

from fathom.harness.db.engine import open_database
from fathom.harness.engines.base import Completion, EngineSettings, Request
from fathom.harness.engines.oracle import OracleEngine
from fathom.harness.runs import evaluate as evaluation
from fathom.harness.runs.plan import make_plan
from fathom.harness.runs.run_settings import RunSettings
from fathom.tasks.suites import open_suite

SLOTS = 256
TICK = 0.01


class PacedEngine:
    """The noisy oracle at a fixed number of tokens a second."""

    def __init__(self, tokens_per_second: float) -> None:
        self._oracle, self._rate = OracleEngine("noisy"), tokens_per_second
        self.context, self.name = self._oracle.context, "oracle"
        self.busy = self.idle = self.held = 0.0
        self._left_at = 0.0

    def facts(self) -> dict[str, str]:
        """Return nothing."""
        return {}

    def close(self) -> None:
        """Do nothing."""

    def stream(self, requests: Iterator[Request]) -> Iterator[list[Completion]]:
        """Answer at the pace of the engine; each request gets an equal share of it."""
        active: dict[str, list] = {}
        while True:
            was_empty, began = not active, time.monotonic()
            for one in islice(requests, SLOTS - len(active)):  # waits while the engine has nothing
                active[one.key] = [one, 30.0 if "tep" in one.prompt[-200:] else 4.0]
            if was_empty and self._left_at:
                self.idle += time.monotonic() - self._left_at
                began = time.monotonic()
            if not active:
                self._left_at = time.monotonic()
                return
            time.sleep(TICK)
            passed = time.monotonic() - began
            self.busy += passed
            self.held += passed * len(active)
            share = self._rate * passed / len(active)
            done = []
            for key, state in list(active.items()):
                state[1] -= share
                if state[1] <= 0:
                    done += next(self._oracle.stream(iter([active.pop(key)[0]])))
            self._left_at = time.monotonic()
            if done:
                yield done


def main() -> None:
    """Measure, and print."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--tokens-per-second", type=float, default=1000)
    chosen = options.parse_args()
    engine = PacedEngine(chosen.tokens_per_second)
    plan = make_plan("oracle/noisy", None, open_suite("depth", 1), RunSettings(engine=EngineSettings("oracle")), print)
    with tempfile.TemporaryDirectory() as folder, patch.object(evaluation, "open_engine", lambda *_: engine):
        done = evaluation.evaluate(plan, open_database(str(Path(folder) / "idle.db"), create=True))
    whole = engine.busy + engine.idle
    print(
        f"{done.n_generated:,} items in {done.seconds:.0f} s; the engine idled {engine.idle:.1f} s, "
        f"{engine.idle / whole:.1%} of its time, with {engine.held / engine.busy:.0f} requests at once while it worked"
    )


if __name__ == "__main__":
    main()
