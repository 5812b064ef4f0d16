"""Turn requests on standard input into completions on standard output: the process that holds a foreign model.

It has no network, no secret in its environment, and dies with its parent. Each line is a JSON object:
{"start": ...}, {"load": ...}, requests and {"end": true} come in; {"ready"}, {"loaded"}, {"completions"}, {"end"} and
{"fault", "tail"} go out.
"""

import json
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from math import isnan
from pathlib import Path
from typing import TextIO

from fathom.harness.engines.base import Engine, EngineSetup, Request, Sampling
from fathom.harness.engines.factory import open_engine
from fathom.harness.engines.model import ModelSource, check_folder, model_facts
from fathom.harness.errors import FathomError
from fathom.harness.service.worker import isolation
from fathom.harness.service.worker.faulty import JobFailed, code_of
from fathom.harness.service.worker.wire import Message, completion_message, request_of

_PROBE = Request("probe", "", "The answer is", Sampling(1), (" a", " b"))


class Runner:
    """Holds one engine, and answers on a stream of its own."""

    def __init__(self, lines: Iterator[str], out: TextIO) -> None:
        """Load nothing yet."""
        self._lines, self._out = lines, out
        self._engine: Engine | None = None

    def send(self, **message: object) -> None:
        """Write one line."""
        self._out.write(json.dumps(message, allow_nan=False) + "\n")
        self._out.flush()

    def serve(self) -> None:
        """Answer until the input ends."""
        for line in self._lines:
            try:
                self._answer(json.loads(line))
            except Exception as error:  # whatever it is, the parent must hear of it
                tail = error.tail if isinstance(error, JobFailed) else traceback.format_exc()
                self.send(fault=error.code if isinstance(error, JobFailed) else code_of(error), tail=tail[-8000:])
                return  # nobody knows what state the engine is in

    def _answer(self, message: Message) -> None:
        if "load" in message:
            self._engine = _load(message["load"])
            _probe(self._engine)
            self.send(loaded=dict(self._engine.facts()))
            return
        if self._engine is None:
            raise JobFailed("engine_failed", "asked before a model was loaded")
        for batch in self._engine.stream(self._requests(message)):
            self.send(completions=[completion_message(one) for one in batch])
        self.send(end=True)

    def _requests(self, message: Message) -> Iterator[Request]:
        while "end" not in message:
            yield request_of(message)
            message = json.loads(next(self._lines))


def _load(wanted: Message) -> Engine:
    name = wanted["model"]
    setup = EngineSetup(wanted["dtype"], wanted["options"])
    if wanted["path"] is None:
        return open_engine(wanted["engine"], ModelSource(name, None, name), setup)
    path = Path(wanted["path"])
    check_folder(path)
    if wanted["chat"] and model_facts(path).kind != "chat":
        raise JobFailed("no_chat_template", f"the tokenizer of {name} has no chat template")
    return open_engine(wanted["engine"], ModelSource(name, path, wanted["sha"]), setup)


def _probe(engine: Engine) -> None:
    """Raise JobFailed if the model's numbers are none; greedy decoding alone would not show it."""
    if engine.name == "oracle" or engine.facts().get("inner") == "oracle":
        return
    for batch in engine.stream(iter([_PROBE])):
        for one in batch:
            if one.scores is not None and any(map(isnan, one.scores)):
                raise JobFailed("nan_logits", f"the model scores two candidates as {one.scores}")


def main() -> None:
    """Read what to do from the parent, then serve it."""
    start = json.loads(sys.stdin.readline())["start"]
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print goes to the log
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    runner = Runner(iter(sys.stdin.readline, ""), out)
    try:
        if start["isolate"]:
            isolation.leave_network()
        isolation.die_with_parent(start["parent"])
        isolation.limit()
    except FathomError as error:
        runner.send(refused=str(error))
        return
    runner.send(ready=os.getpid())
    runner.serve()


if __name__ == "__main__":
    main()
