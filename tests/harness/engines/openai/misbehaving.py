"""A small real server with OpenAI's interface whose answers a test writes, and requests to it."""

import asyncio
import time
from collections import Counter

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fathom.harness.engines.base import Request, Sampling, Turn

KEY = "sk-fathom-0123456789"


def said(text=" Anna", end="stop", **more):
    return {
        "choices": [{"index": 0, "text": text, "finish_reason": end, **more}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2},
    }


def chatted(end="stop", **message):
    return {
        "choices": [{"message": {"role": "assistant", **message}, "finish_reason": end}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 2},
    }


class Api:
    """An OpenAI-compatible server whose answers a test writes: `answer(body, n)` gets the n-th request."""

    def __init__(self):
        self.models = JSONResponse({"data": [{"id": "tiny"}]})
        self.answer = lambda body, n: said()
        self.bodies, self.requests, self.times = [], [], []
        self.under_way = self.most = 0
        self.app = Starlette(routes=[
            Route("/v1/models", lambda request: self.models),
            Route("/v1/completions", self.complete, methods=["POST"]),
            Route("/v1/chat/completions", self.complete, methods=["POST"]),
        ])  # fmt: skip

    async def complete(self, request):
        self.times.append(time.monotonic())
        self.bodies.append(await request.json())
        self.requests.append(request)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            found = self.answer(self.bodies[-1], len(self.bodies))
            if asyncio.iscoroutine(found):
                found = await found
        finally:
            self.under_way -= 1
        return found if isinstance(found, Response) else JSONResponse(found)


def sorry(status, message="no", headers=None, **error):
    return JSONResponse({"error": {"message": message, **error}}, status, headers)


def ask(n, **more):
    return [Request(f"key{at}", "", f"question {at}", Sampling(16, **more)) for at in range(n)]


def chat(content="hi", options=(), **sampling):
    return Request(
        "key", "", content, Sampling(16, **sampling), turns=(Turn("user", content),), template_options=options
    )


def completions(engine, requests):
    """Return the completions by key; each must come once."""
    done = [one for some in engine.stream(iter(requests)) for one in some]
    assert Counter(one.key for one in done) == Counter(one.key for one in requests)
    return {one.key: one for one in done}
