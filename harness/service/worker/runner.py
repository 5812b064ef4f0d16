"""The process that holds a foreign model: requests come in on standard input, completions go out on standard output.

It has no network and no secret in its environment, and dies with its parent. Each line is a `RunnerInput` or a
`RunnerOutput`.
"""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from fathom.harness.engines.base import NO_NUMBERS, Engine, EngineSettings, Request, Sampling
from fathom.harness.engines.factory import load_engine
from fathom.harness.engines.model import ModelSource, check_folder, inspect_model
from fathom.harness.engines.options import check_settings
from fathom.harness.errors import FathomError
from fathom.harness.service.worker import isolation
from fathom.harness.service.worker.failures import JobFailed, code_of
from fathom.harness.service.worker.protocol import (
    CompletionMessage,
    ModelToLoad,
    RunnerInput,
    RunnerOutput,
    failure_of,
)

_PROBE = Request("probe", "", "The answer is", Sampling(1), (" a", " b"))


class _Runner:
    """Holds one engine, and answers on a stream of its own."""

    def __init__(self, lines: Iterator[str], out: TextIO) -> None:
        """Load nothing yet."""
        self._lines, self._out = lines, out
        self._engine: Engine | None = None

    def send(self, message: RunnerOutput) -> None:
        """Write one line."""
        self._out.write(message.model_dump_json(exclude_defaults=True) + "\n")
        self._out.flush()

    def serve(self) -> None:
        """Answer until the input ends."""
        for line in self._lines:
            try:
                self._answer(RunnerInput.model_validate_json(line))
            except JobFailed as error:
                self.send(RunnerOutput(failure=failure_of(error.code, error.tail)))
                return  # nobody knows what state the engine is in
            except Exception as error:  # the parent must hear of every failure
                self.send(RunnerOutput(failure=failure_of(code_of(error), traceback.format_exc())))
                return

    def _answer(self, message: RunnerInput) -> None:
        if message.load is not None:
            self._engine = _load(message.load)
            _probe(self._engine)
            self.send(RunnerOutput(loaded=dict(self._engine.facts())))
            return
        if self._engine is None:
            raise JobFailed("engine_failed", "a request came before a model was loaded")
        for batch in self._engine.stream(self._requests(message)):
            self.send(RunnerOutput(completions=tuple(CompletionMessage.of(one) for one in batch)))
        self.send(RunnerOutput(end=True))

    def _requests(self, message: RunnerInput) -> Iterator[Request]:
        while message.request is not None:
            yield message.request.request()
            message = RunnerInput.model_validate_json(next(self._lines))


def _load(wanted: ModelToLoad) -> Engine:
    engine = EngineSettings(wanted.engine, wanted.dtype, wanted.options)
    check_settings(engine)
    if wanted.path is None:
        return load_engine(ModelSource(wanted.model, None, wanted.model), engine)
    path = Path(wanted.path)
    check_folder(path)
    if wanted.chat and inspect_model(path).kind != "chat":
        raise JobFailed("no_chat_template", f"the tokenizer of {wanted.model} has no chat template")
    return load_engine(ModelSource(wanted.model, path, wanted.sha), engine)


def _probe(engine: Engine) -> None:
    """Raise JobFailed if the model's log-likelihoods are NaN; greedy decoding alone would not show it."""
    if engine.name == "oracle" or engine.facts().get("inner") == "oracle":
        return
    for batch in engine.stream(iter([_PROBE])):
        for one in batch:
            if one.error is not None and NO_NUMBERS in one.error:
                raise JobFailed("nan_logits", one.error)


def _main() -> None:
    start = RunnerInput.model_validate_json(sys.stdin.readline()).start
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to the log
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    runner = _Runner(iter(sys.stdin.readline, ""), out)
    if start is None:
        runner.send(RunnerOutput(refused="the first line was not a start message"))
        return
    try:
        if start.isolate:
            isolation.leave_network()
        isolation.die_with_parent(start.parent)
        isolation.limit()
    except FathomError as error:
        runner.send(RunnerOutput(refused=str(error)))
        return
    runner.send(RunnerOutput(ready=True))
    runner.serve()


if __name__ == "__main__":
    _main()
