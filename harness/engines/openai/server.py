"""The server behind an address: its model, the context, and whether it can tokenize."""

from dataclasses import dataclass, replace
from typing import Any

from fathom.harness.engines.base import Request
from fathom.harness.engines.openai.client import JsonObject, OpenAiClient, RequestRefused
from fathom.harness.engines.openai.protocol import MalformedAnswer, ServedModel, chat_body
from fathom.harness.errors import BadInput

_MAX_NAMES = 12
"""Largest number of models that an error names."""


@dataclass(frozen=True, slots=True)
class ModelServer:
    """A model on a server, after its inspection."""

    client: OpenAiClient
    address: str
    """Without a slash at the end, as in http://127.0.0.1:8000/v1."""
    model: ServedModel
    version: str = ""
    can_tokenize: bool = False

    async def complete(self, body: JsonObject) -> JsonObject:
        """Request the completion of a plain prompt."""
        return await self.client.call(f"{self.address}/completions", body)

    async def chat(self, body: JsonObject) -> JsonObject:
        """Request the next turn of a chat."""
        return await self.client.call(f"{self.address}/chat/completions", body)

    async def request_tokens(self, request: Request) -> list[int]:
        """Return the tokens of a request."""
        if not request.turns:
            return await self.tokenize(request.prompt + request.prefill, True)
        return await self._ids({"model": self.model.name, **chat_body(request)})

    async def tokenize(self, text: str, add_special_tokens: bool) -> list[int]:
        """Return the tokens of a text."""
        return await self._ids({"model": self.model.name, "prompt": text, "add_special_tokens": add_special_tokens})

    async def text_of(self, ids: list[int]) -> str:
        """Return the text of tokens."""
        answer = await self.client.call(
            f"{_root_of(self.address)}/detokenize", {"model": self.model.name, "tokens": ids}
        )
        if not isinstance(answer.get("prompt"), str):
            raise MalformedAnswer("the answer contains no text")
        return str(answer["prompt"])

    async def _ids(self, body: JsonObject) -> list[int]:
        answer = await self.client.call(f"{_root_of(self.address)}/tokenize", body)
        ids = answer.get("tokens")
        if not isinstance(ids, list) or not all(isinstance(one, int) for one in ids):
            raise MalformedAnswer("the answer contains no tokens")
        return ids


async def inspect_server(client: OpenAiClient, address: str, asked: ServedModel) -> ModelServer:
    """Return a model on a server, with what the server says of it; `asked` has its name, and how it is asked.

    Raises:
        BadInput: the server has other models only.
        EngineFailed: the server did not answer.
    """
    provider = None if asked.dialect is None else asked.dialect.provider
    if provider is not None and not provider.lists_models:
        return ModelServer(client, address, asked)
    row = await _entry(client, address, asked.name, "" if provider is None else provider.listed_prefix)
    context = row.get("max_model_len")
    is_size = isinstance(context, int) and not isinstance(context, bool) and context > 0
    kind = "" if provider else str(row.get("owned_by", "")).lower()[:40]
    served = replace(asked, context=context if is_size else None, kind=kind)
    if not served.is_vllm:
        return ModelServer(client, address, served)
    full = ModelServer(client, address, served, can_tokenize=True)
    try:
        await full.tokenize("a", True)
        version = await _call_if_there(client, f"{_root_of(address)}/version")
    except (RequestRefused, MalformedAnswer, BadInput):  # a gateway that only passes /v1
        return ModelServer(client, address, served)
    return replace(full, version=str(version.get("version", ""))[:40])


async def _entry(client: OpenAiClient, address: str, model: str, prefix: str = "") -> JsonObject:
    """Return the model's entry in the server's list of models, whose names may have a prefix; empty without a list."""
    listed = (await _call_if_there(client, f"{address}/models")).get("data")
    rows: list[Any] = listed if isinstance(listed, list) else []
    known = {str(row.get("id")).removeprefix(prefix): row for row in rows if isinstance(row, dict)}
    if known and model not in known:
        names = ", ".join(sorted(known)[:_MAX_NAMES]) + (" ..." if len(known) > _MAX_NAMES else "")
        raise BadInput(
            f"the server at {address} has no model {model!r}, but {names}: name one of these as --model, or, to keep "
            f"the name, as --engine-arg served_model=NAME"
        )
    return known.get(model, {})


async def _call_if_there(client: OpenAiClient, url: str) -> JsonObject:
    try:
        return await client.call(url)
    except RequestRefused:
        return {}


def _root_of(address: str) -> str:
    """Return the address without /v1, where vLLM has /version and /tokenize."""
    return address.removesuffix("/v1")
