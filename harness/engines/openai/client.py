"""Turn calls into HTTP requests that outlive a busy, broken or restarted server.

aiohttp, not httpx: a call takes 0.3 ms of this process instead of 3, and `datasets` brings it anyway.
"""

import asyncio
import json
import logging
import os
import secrets
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import aiohttp

from fathom.harness.engines.openai.concurrency import ConcurrencyLimit
from fathom.harness.errors import BadInput, EngineFailed

log = logging.getLogger(__name__)

JsonObject = dict[str, Any]  # JSON values

_FIRST, _LONGEST = 0.25, 8.0
"""Seconds before the second try, and at most; in between they double."""
_TRIES = {"broken": 5, "slow": 3}
"""How often a call is tried that the server fails at while it serves others."""
_BREAKS = 8
"""How often the server may go away under one call and be well in between, until the call is held to be the cause."""
_BYTES = 256 << 20
_MANY_OPEN = 4096


class RequestRefused(Exception):
    """The server does not answer this request, and asking again would not help."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(f"{status} {message}" if status else message)
        self.status, self.message, self.code = status, message, code


class UnknownAddress(RequestRefused):
    """The server has no such address or no such model."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """How long to try, in seconds, and how many requests may be under way."""

    patience: float = 600.0
    """A server may be away for so long."""
    timeout: float = 600.0
    """An answer may take so long."""
    concurrency: int = 256


_Kind = Literal["away", "full", "slow", "broken"]


class _Trouble(Exception):
    """No answer this time: the server is away, full (too many requests), slow, or broken."""

    def __init__(self, kind: _Kind, reason: str, wait: float = 0.0, is_reached: bool = True) -> None:
        super().__init__(reason)
        self.kind, self.reason, self.wait, self.is_reached = kind, reason, wait, is_reached


@dataclass(slots=True)
class _Attempts:
    """What one call went through."""

    n_failed: int = 0
    n_breaks: int = 0
    n_answers_seen: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)


class OpenAiClient:
    """Speaks to one server from one event loop; make it inside that loop."""

    def __init__(self, key: str, limits: ClientLimits) -> None:
        """Connect at the first call. The key goes into a header and nowhere else."""
        self._key, self._limits = key, limits
        self.pace = ConcurrencyLimit(limits.concurrency)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._http = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=_MANY_OPEN),
            timeout=aiohttp.ClientTimeout(total=limits.timeout, sock_connect=10),
            trust_env=True,  # proxies
        )
        self._n_answers = self._n_calls = 0
        self._away_since: float | None = None
        self._n_away = 0

    async def call(self, url: str, body: JsonObject | None = None) -> JsonObject:
        """Post a body, or get, until there is an answer.

        Raises:
            Refused: this request alone fails. NotThere: nothing is at that address.
            BadInput: the server does not take the key, or is elsewhere.
            EngineFailed: the server was away for longer than the patience.
        """
        content = None if body is None else json.dumps(body).encode()
        self._n_calls += 1
        try:
            return await self._call(url, content)
        finally:
            self._n_calls -= 1

    async def _call(self, url: str, content: bytes | None) -> JsonObject:
        past = _Attempts(n_answers_seen=self._n_answers)
        while True:
            entered = await self.pace.acquire()
            try:
                answer = await self._once(url, content)
                self.pace.increase()
                self._note_answer()
                return answer
            except RequestRefused:  # it is well, and says no
                self._note_answer()
                raise
            except _Trouble as trouble:
                pause = self._after(trouble, past, entered)
            finally:
                self.pace.release()
            if pause:
                await asyncio.sleep(pause)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _note_answer(self) -> None:
        self._n_answers += 1
        if self._away_since is not None:
            log.warning("the server answers again, after %.0f s", time.monotonic() - self._away_since)
        self._away_since, self._n_away = None, 0

    async def _once(self, url: str, content: bytes | None) -> JsonObject:
        try:
            async with self._http.request(
                "GET" if content is None else "POST", url, data=content, allow_redirects=False
            ) as answer:
                raw = await _read(answer)
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            raise _Trouble("away", self.clean(_unreached(error)), is_reached=False) from error
        except TimeoutError as error:
            raise _Trouble("slow", f"no answer within {self._limits.timeout:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _Trouble("away", self.clean(f"{type(error).__name__}: {error}")) from error
        return self._understand(answer, raw)

    def _understand(self, answer: aiohttp.ClientResponse, raw: bytes) -> JsonObject:
        status = answer.status
        said = _json(raw)
        if status == 200:
            if not isinstance(said, dict):
                raise _Trouble("broken", "its answer is no JSON object")
            if isinstance(said.get("error"), dict) and "choices" not in said:  # some gateways say so with a 200
                raise _Trouble("broken", self.clean(_message(said, raw)))
            return said
        message = self.clean(_message(said, raw))
        code = _code(said)
        if status == 429 and code == "insufficient_quota":
            raise EngineFailed(f"the account behind the key has used up its quota: {message}")
        if status in (429, 502, 503, 504, 520, 521, 522, 523, 524, 529):
            raise _Trouble("full" if status in (429, 529) else "away", f"{status} {message}", _retry_after(answer))
        if status >= 500 or status in (408, 409, 425):
            raise _Trouble("broken", f"{status} {message}", _retry_after(answer))
        if status in (401, 403):
            raise BadInput(f"the server does not let us in ({status}): set FATHOM_API_KEY to a key that it knows")
        if status < 400:
            raise BadInput(f"the server sends us elsewhere ({status}): give the address it moved to as --base-url")
        raise (UnknownAddress if status in (404, 405) else RequestRefused)(status, message, code)

    def _after(self, trouble: _Trouble, past: _Attempts, entered: int) -> float:
        """Decide whether to try again; return the pause for this call alone."""
        past.n_failed += 1
        kind = trouble.kind
        past.by_kind[kind] = past.by_kind.get(kind, 0) + 1
        wait = max(trouble.wait, _backoff(past.n_failed))
        is_new = self.pace.decrease(entered)
        if kind in _TRIES:
            if past.by_kind[kind] >= _TRIES[kind]:
                raise RequestRefused(0, f"{trouble.reason} (tried {past.by_kind[kind]} times)")
            return min(wait, self._limits.patience)
        self._n_away += is_new
        self._lose_patience(trouble)
        if kind == "away" and self._n_answers > past.n_answers_seen:
            past.n_breaks, past.n_answers_seen = past.n_breaks + 1, self._n_answers
            if past.n_breaks >= _BREAKS:
                raise RequestRefused(0, f"the server goes away whenever it is asked this: {trouble.reason}")
        self.pace.pause(max(trouble.wait, _backoff(self._n_away)))
        return _backoff(past.n_failed) if kind == "full" else 0.0

    def _lose_patience(self, trouble: _Trouble) -> None:
        now, patience = time.monotonic(), self._limits.patience
        if self._away_since is None:
            self._away_since = now
            log.warning("the server does not answer (%s); trying again for %.0f s", trouble.reason, patience)
        if now - self._away_since > patience:
            if (
                trouble.is_reached and self._n_calls == 1 and self._n_answers
            ):  # the last request, and it may be to blame
                raise RequestRefused(0, f"the server did not answer this for {patience:g} s: {trouble.reason}")
            raise EngineFailed(f"the server did not answer for {patience:g} s: {trouble.reason}")
        if trouble.wait > patience:
            raise EngineFailed(f"the server wants us to wait for {trouble.wait:.0f} s, the patience is {patience:g} s")

    def clean(self, text: str) -> str:
        """Return what a server said, on one line, within bounds, and without our key."""
        text = text.replace(self._key, "***") if self._key else text
        return " ".join(text.split())[:1000]


def _unreached(error: aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError) -> str:
    if not isinstance(error, aiohttp.ClientConnectorError):
        return "no connection within 10 s"
    number = error.os_error.errno or 0  # asyncio's own text repeats the address
    reason = os.strerror(number) if number > 0 else error.os_error.strerror or str(error.os_error)
    return f"{error.host}:{error.port}: {reason}"


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > _BYTES:
            answer.close()
            raise _Trouble("broken", f"its answer has more than {_BYTES >> 20} MiB")
    return b"".join(parts)


def _json(raw: bytes) -> Any:  # JSON values
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _message(said: Any, raw: bytes) -> str:  # JSON values
    """Read {"error": {"message": ...}}, {"error": ...}, {"message": ...} or {"detail": ...}; else the text."""
    if isinstance(said, dict):
        for name in ("error", "message", "detail"):
            found = said.get(name)
            if isinstance(found, dict):
                found = found.get("message", found)
            if found:
                return str(found)
    return raw[:2000].decode(errors="replace") or "no reason given"


def _code(said: Any) -> str:  # JSON values
    error = said.get("error") if isinstance(said, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else ""


def _retry_after(answer: aiohttp.ClientResponse) -> float:
    """Return the seconds that the server asks for: a number or a date (RFC 9110, section 10.2.3); 0 if none."""
    text = answer.headers.get("Retry-After", "").strip()
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _backoff(n_failed: int) -> float:
    longest = min(_LONGEST, _FIRST * 2.0 ** min(n_failed, 10))
    return longest * (0.5 + secrets.randbelow(500) / 1000)
