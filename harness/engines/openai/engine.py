"""Turn prompts into completions on any server that speaks OpenAI's interface, `vllm serve` first.

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
from fathom.harness.engines.openai.protocol import MalformedAnswer
from fathom.harness.engines.openai.server import ModelServer, inspect_server
from fathom.harness.engines.options import server_address
from fathom.harness.errors import EngineFailed, FathomError
from fathom.harness.settings import read_api_settings

_T = TypeVar("T")

_AHEAD = 2
"""Requests taken over for each that may be under way: what follows is at hand when one ends."""
_AT_A_TIME = 64

_Done = Completion | FathomError


class OpenAiEngine:
    """A model behind an address; `open_openai` makes one."""

    def __init__(self, loop: "_Loop", server: ModelServer) -> None:
        """Take a server that was looked at, and the loop that its client lives in."""
        self._loop, self._server = loop, server
        self._asker = Completer(server)

    @property
    def name(self) -> str:
        """Return "openai"."""
        return "openai"

    @property
    def context(self) -> int:
        """Return the server's max_model_len where it names one."""
        return self._server.wire.context or 1 << 20

    def facts(self) -> Mapping[str, str]:
        """Return the address, the name by which the server knows the model, context, and the server's version."""
        server = self._server
        kind = "vllm" if server.wire.is_vllm else "other"
        found = {"base_url": server.address, "served_model": server.wire.model, "server": kind}
        if server.wire.context:
            found["context"] = str(server.wire.context)
        return found | ({"version": server.version} if server.version else {})

    def stream(self, requests: Iterator[Request]) -> Iterator[list[Completion]]:
        """Complete requests as the server bears them; what it answered is yielded before its failure is raised."""
        done: queue.SimpleQueue[_Done] = queue.SimpleQueue()
        tasks: set[asyncio.Task[None]] = set()
        n_out, more = 0, True
        try:
            while more or n_out:
                if more:
                    room = min(_AT_A_TIME, max(0, _AHEAD * self._server.client.pace.limit - n_out))
                    batch = list(islice(requests, room))
                    more, n_out = len(batch) == room, n_out + len(batch)
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
        """Close the connections and end the thread."""
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
            done.put(await self._asker.ask(request))
        except FathomError as error:
            done.put(error)
        except Exception as error:  # ours: whoever waits for this request must hear of it
            failure = EngineFailed(f"the engine openai stopped: {type(error).__name__}: {error}")
            failure.__cause__ = error
            done.put(failure)


def _drain(done: "queue.SimpleQueue[_Done]") -> tuple[list[Completion], FathomError | None]:
    """Wait for something; return all completions that are there, and the first failure."""
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
        """Run a coroutine to its end."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def call(self, function: Callable[..., None], *arguments: Any) -> None:  # as call_soon_threadsafe takes them
        """Call a function in the thread, some time soon."""
        self.loop.call_soon_threadsafe(function, *arguments)

    def stop(self) -> None:
        """End the thread."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class TokenizingEngine(OpenAiEngine):
    """A model on a server that shows its tokens, as vLLM's does."""

    def render(self, request: Request) -> RenderedPrompt:
        """Return what the model reads for a request, as the server tells it; no tokens where it fails to."""
        try:
            return self._loop.run(_prompted(self._server, request))
        except (RequestRefused, MalformedAnswer):
            return RenderedPrompt(request.prompt, ())


async def _prompted(server: ModelServer, request: Request) -> RenderedPrompt:
    ids = await server.tokens_of(request)
    return RenderedPrompt(await server.text_of(ids), tuple(ids))


def open_openai(model: str, engine: EngineSettings) -> OpenAiEngine:
    """Look at a server, and wait for it within the patience; the key comes from the environment.

    Raises:
        BadInput: an option that cannot be, no address, or a server without that model.
        EngineFailed: nobody answered.
    """
    options, usual = engine.options, ClientLimits()
    limits = ClientLimits(
        float(options.get("patience", usual.patience)),
        float(options.get("timeout", usual.timeout)),
        int(options.get("concurrency", usual.concurrency)),
    )
    name = str(options.get("served_model") or model)
    loop = _Loop()
    client = loop.run(_client(read_api_settings().key, limits))
    try:
        server = loop.run(inspect_server(client, server_address(options), name))
        return (TokenizingEngine if server.can_tokenize else OpenAiEngine)(loop, server)
    except BaseException:
        loop.run(client.close())
        loop.stop()
        raise


async def _client(key: str, limits: ClientLimits) -> OpenAiClient:
    return OpenAiClient(key, limits)
