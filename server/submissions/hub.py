"""The client of a model hub: reads about a model over HTTP, within limits of time, bytes and requests.

Addresses consist of the operator's setting and names that passed `is_model_id` and `is_revision`. Redirects to other
hosts are not followed, except to the hub's own stores of large files.
"""

import asyncio
import json
import re
import ssl
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any
from urllib.parse import quote

import httpx

from fathom.harness.errors import BadSubmission, Busy, Finding, TooMany
from fathom.harness.runs.run_settings import MOST_SHOTS
from fathom.harness.service.faults import FAULTS
from fathom.server.submissions.repository import (  # fmt: skip
    INDEX,
    JSON_FILES,
    SHA,
    File,
    Repository,
    WeightsHeader,
    is_model_id,
    is_revision,
    model_finding,
    parse_json,
    weight_files,
)

_STORES = {"huggingface.co": ".hf.co"}
"""Hosts, by their end, where a hub stores large files; over HTTPS only."""
_FIRST = 1 << 16
"""Bytes of a weights file that are requested first; most headers are shorter."""
_HOPS = 3
_TOTAL = re.compile(r"bytes \d+-\d+/(\d{1,18})")


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Limits of requests to a hub; times in seconds, sizes in bytes."""

    deadline: float = 15.0
    connect: float = 4.0
    read: float = 8.0
    info: int = 10 << 20
    config: int = 1 << 20
    text: int = 20 << 20
    """Of any other JSON file."""
    header: int = 25 << 20
    headers: int = 64 << 20
    """Of all headers of a model."""
    n_weights: int = 500
    n_looks: int = 8
    """Models that are read at the same time, for everybody."""
    n_own: int = 2
    """For one user."""
    n_requests: int = 6
    """Requests for one model at the same time."""
    pauses: tuple[float, ...] = (0.2, 0.8)
    """Pauses before further attempts after an error of the hub."""


@dataclass(frozen=True, slots=True)
class _Part:
    """The bytes requested, and the total size."""

    content: bytes
    total: int


class HubClient:
    """Reads from one hub; safe to share within an event loop."""

    def __init__(self, base: str, max_bytes: int, limits: HubLimits | None = None) -> None:
        """Make no request yet. Headers of weights above `max_bytes` are not read."""
        self._base, self._max_bytes, self._limits = httpx.URL(base), max_bytes, limits or HubLimits()
        self._reading: Counter[str] = Counter()

    @cached_property
    def _trust(self) -> ssl.SSLContext | bool:
        """The certificates: they take 40 ms to load, so once and when first needed."""
        return httpx.create_ssl_context() if self._base.scheme == "https" else True

    async def read_repository(self, model: str, revision: str, who: str) -> Repository:
        """Return a model's repository at the present commit of `revision`; `who` is the user who asks.

        Raises:
            BadSubmission: the hub has no such model or revision, or does not answer.
            Busy, TooMany: too many models are being read, in all or for this user.
        """
        if not is_model_id(model) or not is_revision(revision):
            raise ValueError(f"not a model id and revision: {model!r}, {revision!r}")
        limits = self._limits
        times = httpx.Timeout(limits.read, connect=limits.connect)
        with self._slot(who):
            try:
                async with (
                    asyncio.timeout(limits.deadline),
                    httpx.AsyncClient(verify=self._trust, timeout=times, follow_redirects=False) as client,
                ):
                    return await _Reader(client, self._base, limits, self._max_bytes).repository(model, revision)
            except (TimeoutError, httpx.TimeoutException) as error:
                raise _fault("hub_timeout") from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise _fault("hub_5xx", "The hub cannot be reached.") from error

    @contextmanager
    def _slot(self, who: str) -> Iterator[None]:
        if self._reading[who] >= self._limits.n_own:
            raise TooMany("your last submissions are still being checked: try again in a few seconds")
        if self._reading.total() >= self._limits.n_looks:
            raise Busy("many submissions are being checked right now: try again in a few seconds")
        self._reading[who] += 1
        try:
            yield
        finally:
            self._reading[who] -= 1
            self._reading += Counter()  # drops zero counts


def _fault(code: str, problem: str = "", field: str = "model") -> BadSubmission:
    fault = FAULTS[code]
    return BadSubmission([Finding(field, problem or fault.words, fault.fix, code)])


class _Reader:
    """Reads one model."""

    def __init__(self, client: httpx.AsyncClient, base: httpx.URL, limits: HubLimits, max_bytes: int) -> None:
        self._client, self._base, self._limits, self._max_bytes = client, base, limits, max_bytes
        self._requests = asyncio.Semaphore(limits.n_requests)
        self._left = limits.headers

    async def repository(self, model: str, revision: str) -> Repository:
        """Return the model's repository, pinned to a commit."""
        path = f"/api/models/{model}/revision/{quote(revision, safe='')}?blobs=true"
        answer = await self._get(path, self._limits.info)
        found = _read_info(parse_json(answer.content))
        if found.gated:
            return found
        texts = await self._json_files(found)
        weights = weight_files(found.files, parse_json(texts.get(INDEX, b"")))
        told = sum(file.size or 0 for file in weights)
        if told > self._max_bytes or len(weights) > self._limits.n_weights:
            return replace(found, texts=texts)
        headers = await self._all({file.name: self._header(_path_of(found, file.name)) for file in weights})
        return replace(found, texts=texts, headers={name: one for name, one in headers.items() if one is not None})

    async def _json_files(self, found: Repository) -> dict[str, bytes]:
        limits = {name: self._limits.config if name == "config.json" else self._limits.text for name in JSON_FILES}
        wanted = {name: limit for name, limit in limits.items() if found.has(name)}
        calls = {name: self._get(_path_of(found, name), limit) for name, limit in wanted.items()}
        return {name: answer.content for name, answer in (await self._all(calls)).items()}

    async def _all(self, calls: Mapping[str, Any]) -> dict[str, Any]:  # coroutines and what they return
        """Wait for all calls at once; the first that fails ends the others."""
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {name: group.create_task(call) for name, call in calls.items()}
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        return {name: task.result() for name, task in tasks.items()}

    async def _header(self, path: str) -> WeightsHeader | None:
        """Return the header of a weights file, or an empty one where its stated length is impossible."""
        first = await self._get(path, _FIRST, f"bytes=0-{_FIRST - 1}")
        length = int.from_bytes(first.content[:8], "little")
        if len(first.content) < 8 or length > self._limits.header or 8 + length > first.total:
            return WeightsHeader(b"", first.total)
        self._left -= length
        if self._left < 0:
            fix = "Split the weights into fewer tensors, or submit another model."
            raise BadSubmission([model_finding("The headers of the weights are longer than any that are read.", fix)])
        text = first.content[8 : 8 + length]
        if len(text) < length:
            rest = await self._get(path, length - len(text), f"bytes={8 + len(text)}-{7 + length}")
            text += rest.content
        return WeightsHeader(text, first.total)

    async def _get(self, path: str, limit: int, part: str = "") -> _Part:
        """Fetch at most `limit` bytes, of a part of a file if one is given; try again after an error of the hub."""
        for pause in (*self._limits.pauses, None):
            try:
                async with self._requests:
                    return await self._get_once(httpx.URL(f"{str(self._base).rstrip('/')}{path}"), limit, part)
            except (BadSubmission, httpx.TransportError) as error:
                ours = isinstance(error, BadSubmission) and error.findings[0].code != "hub_5xx"
                if pause is None or ours or isinstance(error, httpx.TimeoutException):
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    async def _get_once(self, url: httpx.URL, limit: int, part: str) -> _Part:
        # a compressed answer could have any size, and the hub's store ignores Range when it compresses
        headers = {"Accept-Encoding": "identity", "User-Agent": "fathom", **({"Range": part} if part else {})}
        for _ in range(_HOPS):
            async with self._client.stream("GET", url, headers=headers) as answer:
                if answer.is_redirect:
                    url = self._next(url, answer)
                    continue
                _check(answer)
                return await _read(answer, limit, part)
        raise _fault("hub_5xx", "The hub redirects too often.")

    def _next(self, url: httpx.URL, answer: httpx.Response) -> httpx.URL:
        there = url.join(answer.headers.get("location", ""))
        store = _STORES.get(self._base.host)
        is_store = store is not None and there.scheme == "https" and there.host.endswith(store)
        if not is_store and _origin(there) != _origin(self._base):
            fix = "Submit a model whose files lie on the hub itself."
            raise BadSubmission(
                [model_finding("The hub stores this model's files on another host, which is not read.", fix)]
            )
        return there


def _origin(url: httpx.URL) -> tuple[str, bytes]:
    return url.scheme, url.netloc


def _first(errors: BaseExceptionGroup[Any]) -> BaseException:
    """Return one error of a group."""
    one: BaseException = errors
    while isinstance(one, BaseExceptionGroup):
        one = one.exceptions[0]
    return one


def _path_of(found: Repository, name: str) -> str:
    return f"/{found.model}/resolve/{found.sha}/{quote(name)}"


async def _read(answer: httpx.Response, limit: int, part: str) -> _Part:
    content = bytearray()
    async for block in answer.aiter_raw(1 << 16):
        content += block
        if len(content) > limit and not part:
            fix = "Submit a model with the files that transformers writes."
            raise BadSubmission(
                [model_finding(f"A file is longer than the {limit >> 20} MB that are read of it.", fix)]
            )
        if len(content) >= limit and part:
            break
    told = _TOTAL.fullmatch(answer.headers.get("content-range", ""))
    length = answer.headers.get("content-length", "")
    total = int(told[1]) if told else int(length) if length.isdigit() else len(content)
    return _Part(bytes(content[:limit]), total)


def _check(answer: httpx.Response) -> None:
    """Raise the fault that a refusal of the hub stands for."""
    status, code = answer.status_code, answer.headers.get("x-error-code", "")
    if status in (200, 206):
        return
    if status >= 500 or status == 429:
        raise _fault("hub_5xx", f"The hub answered with an error of its own ({status}).")
    if code == "GatedRepo":
        raise _fault("gated")
    if code == "RevisionNotFound":
        raise _fault("missing", "The hub has no such revision of the model.", "revision")
    if status in (401, 403, 404, 410):
        raise _fault("missing", "The hub has no such model that anybody may read, or not this file of it.")
    raise _fault("hub_5xx", f"The hub answered with an unexpected status ({status}).")


def _read_info(info: Any) -> Repository:  # any JSON value
    """Return the repository that the hub's JSON describes, without file contents."""
    info = info if isinstance(info, dict) else {}
    model, sha = str(info.get("id")), str(info.get("sha"))
    if not is_model_id(model) or not SHA.fullmatch(sha):
        raise _fault("hub_5xx", "The hub's answer about the model cannot be read.")
    if info.get("disabled"):
        raise _fault("missing", "The hub has disabled this model.")
    if info.get("private"):
        raise _fault("missing", "This model is private: everybody must be able to check the board.")
    rows = [row for row in _list(info.get("siblings")) if isinstance(row, dict)]
    files = tuple(File(str(row.get("rfilename")), _size(row)) for row in rows)
    return Repository(model, sha, files, _licence(info), bool(info.get("gated")), _card_shots(info))


def _list(value: Any) -> list[Any]:  # any JSON value
    return value if isinstance(value, list) else []


def _size(row: Mapping[str, Any]) -> int | None:  # JSON
    size = row.get("size")
    return size if type(size) is int and 0 <= size < 1 << 60 else None


def _card_shots(info: Mapping[str, Any]) -> int | None:  # JSON
    card = info.get("cardData")
    shots = card.get("fathom_shots") if isinstance(card, dict) else None
    return shots if type(shots) is int and 0 <= shots <= MOST_SHOTS else None


def _licence(info: Mapping[str, Any]) -> str:  # JSON
    card = info.get("cardData")
    named = card.get("license") if isinstance(card, dict) else None
    tagged = (tag for tag in _list(info.get("tags")) if isinstance(tag, str) and tag.startswith("license:"))
    return json.dumps(named)[:200] if named else next(tagged, "")
