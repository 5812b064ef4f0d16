"""Completion of single requests by a server, with all the ways in which it may refuse."""

import time
from dataclasses import replace

from fathom.harness.engines.base import NO_NUMBERS, Completion, Request, RequestFailed, Sampling, failed, too_long
from fathom.harness.engines.openai.advice import no_such_address, with_advice
from fathom.harness.engines.openai.client import JsonObject, RequestRefused, UnknownAddress
from fathom.harness.engines.openai.cut_prompts import CutPrompts
from fathom.harness.engines.openai.likelihood import score_choices
from fathom.harness.engines.openai.protocol import (
    OPTIONAL,
    MalformedAnswer,
    completion_body,
    has_stopped_early,
    is_no_number,
    is_overflow,
    overflow_sizes,
    read_completion,
)
from fathom.harness.engines.openai.server import ModelServer
from fathom.harness.engines.openai.system_messages import SystemMessages
from fathom.harness.errors import BadInput, EngineFailed

_MAX_MALFORMED = 3
"""Attempts at a request whose answers are malformed."""
_NO_NUMBERS = (
    f"the model's logits are no numbers: {NO_NUMBERS}; vLLM on a CPU keeps them in its cache and spoils later requests "
    "with them, until the server is started again"
)
_MAX_REFUSED = 16
"""Refused requests, without a single answer, after which the run ends."""


class Completer:
    """Completes requests on a server."""

    def __init__(self, server: ModelServer) -> None:
        """Take the server. What is learned from its refusals is kept for later requests."""
        self._server = server
        self._n_answered = self._n_refused = 0
        dialect = server.model.dialect
        self._budget_name = "max_tokens" if dialect is None else dialect.budget
        self._is_checked = dialect is None or not dialect.thinks
        """Whether what the server reads is checked: it takes answers of one token, which thoughts do not fit."""
        self._left_out: set[str] = set()
        self._cut_prompts = CutPrompts(self._count_tokens, server.can_tokenize)
        self._system_messages = SystemMessages(self._count_tokens)

    async def complete(self, request: Request) -> Completion:
        """Return the completion of a request, possibly `too_long` or `failed`.

        Raises:
            BadInput, EngineFailed: the server cannot serve this run, or does not answer.
        """
        for attempt in range(_MAX_MALFORMED):
            try:
                done = await self._answer(request)
            except MalformedAnswer as error:
                if attempt == _MAX_MALFORMED - 1:
                    return self._fail(request, error)
            except UnknownAddress as error:
                raise BadInput(no_such_address(request, self._server.address, error)) from error
            except RequestRefused as error:
                if is_no_number(error):
                    return self._fail(request, RequestFailed(_NO_NUMBERS))
                return await self._refuse(request, error)
            except RequestFailed as error:
                return self._fail(request, error)
            else:
                self._n_answered += 1
                return done
        raise AssertionError("the last attempt returns")

    async def _answer(self, request: Request) -> Completion:
        if self._is_checked:
            await self._system_messages.check(request)
        if request.choices:
            return await score_choices(self._server, request)
        done = await self._generate(request)
        if self._is_checked:
            await self._cut_prompts.check(request, done.prompt_tokens)
        return done

    async def _count_tokens(self, request: Request) -> int:
        """Return how many tokens a prompt has: by the server's tokenizer, else by its count of what it read."""
        if self._server.can_tokenize:
            return len(await self._server.request_tokens(request))
        return (await self._post(replace(request, sampling=Sampling(1), choices=()), 1)).prompt_tokens

    async def _generate(self, request: Request) -> Completion:
        context = self._server.model.context
        budget = request.sampling.max_tokens
        budget = budget if context is None else max(1, min(budget, context - 1))
        try:
            return await self._post(request, budget)
        except RequestRefused as error:
            if not is_overflow(error):
                raise
            n_prompt, room = await self._measure(request, error)
            if room is None or not 0 < room < budget:
                return too_long(request, n_prompt)
        try:
            return await self._post(request, room)  # the rest of the context is the budget, as in other engines
        except RequestRefused as error:
            if is_overflow(error):
                return too_long(request, n_prompt)
            raise

    async def _post(self, request: Request, budget: int) -> Completion:
        body = completion_body(self._server.model, request, budget)
        for one in self._left_out:
            body.pop(one, None)
        name = self._budget_name
        body[name] = body.pop("max_tokens")
        began = time.perf_counter()
        try:
            answer = await self._ask(request, body)
            if has_stopped_early(request, answer):  # without stop texts: the completion is cut here
                answer = await self._ask(request, {name: value for name, value in body.items() if name != "stop"})
        except RequestRefused as error:
            unknown = {one for one in OPTIONAL if one in body and one in error.message}
            if unknown:  # a server that does not know a setting does not apply it either
                self._left_out |= unknown
                return await self._post(request, budget)
            if name != "max_tokens" or "max_completion_tokens" not in error.message:
                raise
            self._budget_name = "max_completion_tokens"  # the only name that OpenAI's newer models accept
            return await self._post(request, budget)
        return read_completion(request, answer, time.perf_counter() - began)

    async def _ask(self, request: Request, body: JsonObject) -> JsonObject:
        return await (self._server.chat(body) if request.turns else self._server.complete(body))

    async def _measure(self, request: Request, error: RequestRefused) -> tuple[int, int | None]:
        """Return the tokens of a prompt, 0 if unknown, and the tokens that it leaves of the context."""
        context, n_prompt = overflow_sizes(error)
        context = self._server.model.context or context
        if self._server.can_tokenize:
            n_prompt = len(await self._server.request_tokens(request))
        return n_prompt or 0, None if context is None or n_prompt is None else context - n_prompt

    async def _refuse(self, request: Request, error: RequestRefused) -> Completion:
        context = self._server.model.context
        if context and error.status == 400 and self._server.can_tokenize:
            try:
                n_prompt = len(await self._server.request_tokens(request))
            except (RequestRefused, MalformedAnswer):
                return self._fail(request, error)
            if n_prompt >= context:
                return too_long(request, n_prompt)
        return self._fail(request, error)

    def _fail(self, request: Request, error: Exception) -> Completion:
        self._n_refused += 1
        if not self._n_answered and self._n_refused >= _MAX_REFUSED:
            said = f"the server answered none of {self._n_refused} requests; the last error: {error}"
            raise EngineFailed(with_advice(said))
        done = failed(request, error)
        return replace(done, error=with_advice(done.error or ""))
