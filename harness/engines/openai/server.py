"""Turn an address into what is served there: the model, its context, and what the server can do."""

from dataclasses import dataclass, replace
from typing import Any

from fathom.harness.engines.base import Request
from fathom.harness.engines.openai.client import JsonObject, OpenAiClient, RequestRefused
from fathom.harness.engines.openai.protocol import MalformedAnswer, ServedModel, chat_body
from fathom.harness.errors import BadInput

_NAMED = 12
"""Models that an error names at most."""


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A server that was looked at."""

    client: OpenAiClient
    address: str
    """Without a slash at its end, as in http://127.0.0.1:8000/v1."""
    wire: ServedModel
    version: str = ""
    can_tokenize: bool = False

    async def complete(self, body: JsonObject) -> JsonObject:
        """Ask for a completion of a plain prompt."""
        return await self.client.call(f"{self.address}/completions", body)

    async def chat(self, body: JsonObject) -> JsonObject:
        """Ask for the next turn of a chat."""
        return await self.client.call(f"{self.address}/chat/completions", body)

    async def tokens_of(self, request: Request) -> list[int]:
        """Return the tokens that the server reads for a request."""
        if not request.turns:
            return await self.tokenize(request.prompt + request.prefill, True)
        return await self._ids({"model": self.wire.model, **chat_body(request)})

    async def tokenize(self, text: str, is_special_added: bool) -> list[int]:
        """Return the tokens of a text."""
        return await self._ids({"model": self.wire.model, "prompt": text, "add_special_tokens": is_special_added})

    async def text_of(self, ids: list[int]) -> str:
        """Return the text of tokens."""
        answer = await self.client.call(
            f"{root_of(self.address)}/detokenize", {"model": self.wire.model, "tokens": ids}
        )
        if not isinstance(answer.get("prompt"), str):
            raise MalformedAnswer("the answer holds no text")
        return str(answer["prompt"])

    async def _ids(self, body: JsonObject) -> list[int]:
        answer = await self.client.call(f"{root_of(self.address)}/tokenize", body)
        ids = answer.get("tokens")
        if not isinstance(ids, list) or not all(isinstance(one, int) for one in ids):
            raise MalformedAnswer("the answer holds no tokens")
        return ids


async def inspect_server(client: OpenAiClient, address: str, model: str) -> ModelServer:
    """Find a model on a server, by the name that it has there.

    Raises:
        BadInput: another model is served there.
        EngineFailed: nobody answered.
    """
    row = await _entry(client, address, model)
    context = row.get("max_model_len")
    is_size = isinstance(context, int) and not isinstance(context, bool) and context > 0
    wire = ServedModel(model, context if is_size else None, row.get("owned_by") == "vllm")
    if not wire.is_vllm:
        return ModelServer(client, address, wire)
    whole = ModelServer(client, address, wire, can_tokenize=True)
    try:
        await whole.tokenize("a", True)
        version = await _maybe(client, f"{root_of(address)}/version")
    except (RequestRefused, MalformedAnswer, BadInput):  # a gateway that lets only /v1 through
        return ModelServer(client, address, wire)
    return replace(whole, version=str(version.get("version", ""))[:40])


async def _entry(client: OpenAiClient, address: str, model: str) -> JsonObject:
    """Return what the server's list says of a model; nothing where there is no list."""
    listed = (await _maybe(client, f"{address}/models")).get("data")
    rows: list[Any] = listed if isinstance(listed, list) else []
    known = {str(row.get("id")): row for row in rows if isinstance(row, dict)}
    if known and model not in known:
        names = ", ".join(sorted(known)[:_NAMED]) + (" ..." if len(known) > _NAMED else "")
        raise BadInput(
            f"the server at {address} has no model {model!r}, but {names}: name one of these as --model, or, to keep "
            f"the name, as --engine-arg served_model=NAME"
        )
    return known.get(model, {})


async def _maybe(client: OpenAiClient, url: str) -> JsonObject:
    try:
        return await client.call(url)
    except RequestRefused:
        return {}


def root_of(address: str) -> str:
    """Return the address above /v1, where vLLM has /version and /tokenize."""
    return address.removesuffix("/v1")
