"""The engine openai: any server with OpenAI's interface, such as `vllm serve`.

Requests are sent from an event loop in a thread of its own, so that the server has work while completions are stored.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

from fathom.harness.engines.base import Completion, EngineSettings, RenderedPrompt, Request
from fathom.harness.engines.openai.client import ClientLimits, OpenAiClient, RequestRefused
from fathom.harness.engines.openai.completer import Completer
from fathom.harness.engines.openai.protocol import MalformedAnswer, ServedModel
from fathom.harness.engines.openai.server import ModelServer, inspect_server
from fathom.harness.engines.options import server_address
from fathom.harness.engines.providers import dialect_of
from fathom.harness.errors import BadInput, EngineFailed, FathomError
from fathom.harness.settings import read_api_settings

_T = TypeVar("_T")

_AHEAD = 2
"""Requests pulled for each concurrent call, so that the next one is ready when a call ends."""
_AT_A_TIME = 64

_Done = Completion | FathomError


class OpenAiEngine:
    """A model on a server; `open_openai` makes one."""

    def __init__(self, loop: "_Loop", server: ModelServer) -> None:
        """Take an inspected server and the event loop of its client."""
        self._loop, self._server = loop, server
        self._completer = Completer(server)

    @property
    def name(self) -> str:
        """Return "openai"."""
        return "openai"

    @property
    def context(self) -> int:
        """Return the server's max_model_len; without one, a number beyond all contexts."""
        return self._server.model.context or 1 << 20

    def facts(self) -> Mapping[str, str]:
        """Return the address, the model's name on the server, its context, and the server's version."""
        server = self._server
        kind = "vllm" if server.model.is_vllm else "other"
        found = {"base_url": server.address, "served_model": server.model.name, "server": kind}
        if server.model.context:
            found["context"] = str(server.model.context)
        return found | ({"version": server.version} if server.version else {})

    def stream(self, requests: Iterator[Request]) -> Iterator[list[Completion]]:
        """Complete requests as fast as the server can; all answers are yielded before an error is raised."""
        done: queue.SimpleQueue[_Done] = queue.SimpleQueue()
        tasks: set[asyncio.Task[None]] = set()
        n_out, more = 0, True
        try:
            while more or n_out:
                room = min(_AT_A_TIME, max(0, _AHEAD * self._server.client.slots.limit - n_out))
                batch = list(islice(requests, room))
                more, n_out = bool(batch), n_out + len(batch)
                if batch:
                    self._loop.call(self._begin, batch, tasks, done)
                if n_out:
                    some, error = _drain(done)
                    n_out -= len(some)
                    if some:
                        yield some
                    if error is not None:
                        raise error
        finally:
            self._loop.run(_cancel(tasks))

    def close(self) -> None:
        """Close the connections and stop the thread."""
        self._loop.run(self._server.client.close())
        self._loop.stop()

    def _begin(
        self, batch: Sequence[Request], tasks: set[asyncio.Task[None]], done: "queue.SimpleQueue[_Done]"
    ) -> None:
        for request in batch:
            task = self._loop.loop.create_task(self._answer(request, done))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _answer(self, request: Request, done: "queue.SimpleQueue[_Done]") -> None:
        try:
            done.put(await self._completer.complete(request))
        except FathomError as error:
            done.put(error)
        except Exception as error:  # a bug: `stream` waits for this request
            failure = EngineFailed(f"the engine openai stopped: {type(error).__name__}: {error}")
            failure.__cause__ = error
            done.put(failure)


def _drain(done: "queue.SimpleQueue[_Done]") -> tuple[list[Completion], FathomError | None]:
    """Wait for a result; return all completions so far and the first error."""
    found = [done.get()]
    with suppress(queue.Empty):
        while True:
            found.append(done.get_nowait())
    errors = [one for one in found if isinstance(one, FathomError)]
    return [one for one in found if isinstance(one, Completion)], errors[0] if errors else None


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    left = list(tasks)
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


class _Loop:
    """An event loop in a thread."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="openai", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def call(self, function: Callable[..., None], *arguments: Any) -> None:  # as call_soon_threadsafe takes them
        """Schedule a function call in the thread."""
        self.loop.call_soon_threadsafe(function, *arguments)

    def stop(self) -> None:
        """Stop the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class TokenizingEngine(OpenAiEngine):
    """A model on a server that can tokenize, as vLLM's can."""

    def render(self, request: Request) -> RenderedPrompt:
        """Return a request as the model reads it according to the server; without tokens if the server refuses."""
        try:
            return self._loop.run(_rendered(self._server, request))
        except (RequestRefused, MalformedAnswer):
            return RenderedPrompt(request.prompt, ())


async def _rendered(server: ModelServer, request: Request) -> RenderedPrompt:
    ids = await server.request_tokens(request)
    return RenderedPrompt(await server.text_of(ids), tuple(ids))


def open_openai(model: str, engine: EngineSettings) -> OpenAiEngine:
    """Open a model on a server, or at a provider by name; the key comes from the environment.

    Waits for the server within the patience.

    Raises:
        BadInput: a wrong option, no address, or a server without that model.
        EngineFailed: the server did not answer.
    """
    options, defaults = engine.options, ClientLimits()
    limits = ClientLimits(
        float(options.get("patience", defaults.patience)),
        float(options.get("timeout", defaults.timeout)),
        int(options.get("concurrency", defaults.concurrency)),
    )
    name, provider = str(options.get("served_model") or model), str(options.get("provider") or "")
    effort = str(options.get("reasoning_effort") or "")
    asked = ServedModel(name, effort=effort)
    if provider:
        asked = ServedModel(name, dialect=dialect_of(provider, name, effort))
    variable = asked.dialect.provider.variable if asked.dialect else ""
    key = read_api_settings(variable).key
    if variable and not key:
        raise BadInput(f"the provider {provider} wants a key: set {variable} in the environment; it is never stored")
    loop = _Loop()
    client = loop.run(_client(key, limits, variable or "FATHOM_API_KEY"))
    try:
        server = loop.run(inspect_server(client, server_address(options), asked))
        return (TokenizingEngine if server.can_tokenize else OpenAiEngine)(loop, server)
    except BaseException:
        loop.run(client.close())
        loop.stop()
        raise


async def _client(key: str, limits: ClientLimits, variable: str) -> OpenAiClient:
    return OpenAiClient(key, limits, variable)
