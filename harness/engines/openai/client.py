"""HTTP calls that are retried while the server is busy, failing or restarting.

With aiohttp, not httpx: a call takes 0.3 ms of this process instead of 3, and `datasets` depends on it anyway.
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

from fathom.harness.engines.openai.advice import proxy_hint
from fathom.harness.engines.openai.concurrency import ConcurrencyLimit
from fathom.harness.errors import BadInput, EngineFailed

log = logging.getLogger(__name__)

JsonObject = dict[str, Any]  # JSON values

_FIRST, _LONGEST = 0.25, 8.0
"""Seconds before the second attempt, and at most; the pause doubles in between."""
_TRIES = {"broken": 5, "slow": 3}
"""Attempts at a call on which the server fails while it answers others."""
_BREAKS = 8
"""Crashes during one call, with answers to others in between, after which the call is taken as the cause."""
_MAX_BYTES = 256 << 20
"""Of an answer."""
_MAX_CONNECTIONS = 4096


class RequestRefused(Exception):
    """The server refuses this request, and a retry would not help."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(f"{status} {message}" if status else message)
        self.status, self.message, self.code = status, message, code


class UnknownAddress(RequestRefused):
    """The server has no such address or no such model."""


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Limits in seconds, and on the number of concurrent requests."""

    patience: float = 600.0
    """Longest time without any answer of the server."""
    timeout: float = 600.0
    """Longest time for one answer."""
    concurrency: int = 256


_Kind = Literal["away", "full", "slow", "broken"]


class _AttemptFailed(Exception):
    """An attempt without an answer: the server is away, full (too many requests), slow, or broken."""

    def __init__(self, kind: _Kind, reason: str, wait: float = 0.0, is_reached: bool = True) -> None:
        super().__init__(reason)
        self.kind, self.reason, self.wait, self.is_reached = kind, reason, wait, is_reached


@dataclass(slots=True)
class _Attempts:
    """Failed attempts of one call."""

    n_failed: int = 0
    n_breaks: int = 0
    n_answers_seen: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)


class OpenAiClient:
    """A client of one server. Create and use it in one event loop."""

    def __init__(self, key: str, limits: ClientLimits, variable: str = "FATHOM_API_KEY") -> None:
        """Connect at the first call. The key, which `variable` holds, is sent in a header and used nowhere else."""
        self._key, self._limits, self._variable = key, limits, variable
        self.slots = ConcurrencyLimit(limits.concurrency)
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._http = aiohttp.ClientSession(
            headers=headers,
            connector=aiohttp.TCPConnector(limit=_MAX_CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=limits.timeout, sock_connect=10),
            trust_env=True,  # proxies
        )
        self._n_answers = self._n_calls = 0
        self._hint = ""
        self._away_since: float | None = None
        self._n_away = 0

    async def call(self, url: str, body: JsonObject | None = None) -> JsonObject:
        """Send POST with a body, or GET without, until there is an answer.

        Raises:
            RequestRefused: the server refuses this request; UnknownAddress: no such address or model.
            BadInput: the server does not accept the key, or has moved.
            EngineFailed: the server did not answer within the patience.
        """
        content = None if body is None else json.dumps(body).encode()
        self._hint = proxy_hint(url)
        self._n_calls += 1
        try:
            return await self._call(url, content)
        finally:
            self._n_calls -= 1

    async def _call(self, url: str, content: bytes | None) -> JsonObject:
        attempts = _Attempts(n_answers_seen=self._n_answers)
        while True:
            entered = await self.slots.acquire()
            try:
                answer = await self._once(url, content)
                self.slots.increase()
                self._note_answer()
                return answer
            except RequestRefused:  # also an answer
                self._note_answer()
                raise
            except _AttemptFailed as failure:
                pause = self._pause_after(failure, attempts, entered)
            finally:
                self.slots.release()
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
            raise _AttemptFailed("away", self.clean(_unreached(error)), is_reached=False) from error
        except TimeoutError as error:
            raise _AttemptFailed("slow", f"no answer within {self._limits.timeout:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _AttemptFailed("away", self.clean(f"{type(error).__name__}: {error}")) from error
        return self._understand(answer, raw)

    def _understand(self, answer: aiohttp.ClientResponse, raw: bytes) -> JsonObject:
        status = answer.status
        parsed = _json(raw)
        if status == 200:
            if not isinstance(parsed, dict):
                raise _AttemptFailed("broken", "its answer is no JSON object")
            if isinstance(parsed.get("error"), dict) and "choices" not in parsed:  # from some gateways
                raise _AttemptFailed("broken", self.clean(_message(parsed, raw)))
            return parsed
        message = self.clean(_message(parsed, raw))
        code = _code(parsed)
        if status == 429 and code == "insufficient_quota":
            raise EngineFailed(f"the account behind the key has used up its quota: {message}")
        if status in (429, 502, 503, 504, 520, 521, 522, 523, 524, 529):
            raise _AttemptFailed(
                "full" if status in (429, 529) else "away", f"{status} {message}", _retry_after(answer)
            )
        if status >= 500 or status in (408, 409, 425):
            raise _AttemptFailed("broken", f"{status} {message}", _retry_after(answer))
        if status in (401, 403):
            name = self._variable
            key = f"the key in {name} is not valid for it" if self._key else f"set {name} to a valid key"
            raise BadInput(f"the server denies access ({status} {message}): {key}{self._hint}")
        if status < 400:
            raise BadInput(f"the server redirects to another address ({status}): give that one as --base-url")
        raise (UnknownAddress if status in (404, 405) else RequestRefused)(status, message, code)

    def _pause_after(self, failure: _AttemptFailed, attempts: _Attempts, entered: int) -> float:
        """Decide whether to retry; return the pause of this call in seconds, or raise."""
        attempts.n_failed += 1
        kind = failure.kind
        attempts.by_kind[kind] = attempts.by_kind.get(kind, 0) + 1
        wait = max(failure.wait, _backoff(attempts.n_failed))
        is_new = self.slots.decrease(entered)
        if kind in _TRIES:
            if attempts.by_kind[kind] >= _TRIES[kind]:
                raise RequestRefused(0, f"{failure.reason} (tried {attempts.by_kind[kind]} times)")
            return min(wait, self._limits.patience)
        self._n_away += is_new
        self._check_patience(failure)
        if kind == "away" and self._n_answers > attempts.n_answers_seen:
            attempts.n_breaks, attempts.n_answers_seen = attempts.n_breaks + 1, self._n_answers
            if attempts.n_breaks >= _BREAKS:
                raise RequestRefused(0, f"the server stops answering whenever it gets this request: {failure.reason}")
        self.slots.pause(max(failure.wait, _backoff(self._n_away)))
        return _backoff(attempts.n_failed) if kind == "full" else 0.0

    def _check_patience(self, failure: _AttemptFailed) -> None:
        now, patience = time.monotonic(), self._limits.patience
        if self._away_since is None:
            self._away_since = now
            reason = failure.reason + self._hint
            log.warning("the server does not answer (%s); trying again for %.0f s", reason, patience)
        if now - self._away_since > patience:
            if failure.is_reached and self._n_calls == 1 and self._n_answers:  # the last request may be the cause
                raise RequestRefused(0, f"the server did not answer this for {patience:g} s: {failure.reason}")
            raise EngineFailed(f"the server did not answer for {patience:g} s: {failure.reason}{self._hint}")
        if failure.wait > patience:
            raise EngineFailed(f"the server asks to wait for {failure.wait:.0f} s, the patience is {patience:g} s")

    def clean(self, text: str) -> str:
        """Return a server's text on one line, shortened, and without the key."""
        text = text.replace(self._key, "***") if self._key else text
        return " ".join(text.split())[:1000]


def _unreached(error: aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError) -> str:
    if not isinstance(error, aiohttp.ClientConnectorError):
        return "no connection within 10 s"
    number = error.os_error.errno or 0  # asyncio's text repeats the address
    reason = os.strerror(number) if number > 0 else error.os_error.strerror or str(error.os_error)
    return f"{error.host}:{error.port}: {reason}"


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > _MAX_BYTES:
            answer.close()
            raise _AttemptFailed("broken", f"its answer has more than {_MAX_BYTES >> 20} MiB")
    return b"".join(parts)


def _json(raw: bytes) -> Any:  # JSON values
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _message(parsed: Any, raw: bytes) -> str:  # JSON values
    """Return the error message in {"error": {"message": ...}}, {"error": ...}, {"message": ...} or {"detail": ...}.

    In any other form, return the start of the text.
    """
    if isinstance(parsed, dict):
        for name in ("error", "message", "detail"):
            found = parsed.get(name)
            if isinstance(found, dict):
                found = found.get("message", found)
            if found:
                return str(found)
    return raw[:2000].decode(errors="replace") or "no reason given"


def _code(parsed: Any) -> str:  # JSON values
    error = parsed.get("error") if isinstance(parsed, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else ""


def _retry_after(answer: aiohttp.ClientResponse) -> float:
    """Return the seconds of Retry-After, a number or a date (RFC 9110, section 10.2.3); 0 without one."""
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
