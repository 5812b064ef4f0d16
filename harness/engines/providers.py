"""Providers of API models by name: where each is reached, which variable holds its key, and how it differs.

One table. Each entry names the page of the provider's documentation that it follows, as read on 1 December 2026.
Nothing here was tried against the providers themselves, for want of keys.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from fathom.harness.errors import BadInput

JsonObject = Mapping[str, Any]  # JSON values

_NO_PENALTIES: JsonObject = {"frequency_penalty": 0, "presence_penalty": 0}
_OPENAI_THINKERS = ("o1*", "o3*", "o4*", "gpt-5*")
_CLAUDE_WITHOUT_SAMPLING = (
    "claude-opus-4-7*", "claude-opus-4-8*", "claude-opus-5*", "claude-sonnet-5*", "claude-haiku-5*", "claude-fable*",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Provider:
    """How a provider's interface differs from the one that vLLM's server has. Patterns are of models' names."""

    name: str
    address: str
    """Before /chat/completions."""
    variable: str
    """Environment variable that holds the key."""
    budget: str = "max_tokens"
    """Name of the token budget of an answer, thoughts included."""
    seed: str = "seed"
    """Name of the seed of a sampled answer; empty where the provider ignores or refuses it."""
    has_top_p: bool = True
    neutral: JsonObject = field(default_factory=dict)
    """What switches penalties off."""
    effort: str = "reasoning_effort"
    """Where the effort of a thought goes: a name in the body, two of them with a dot between, or empty for nowhere."""
    thinkers: tuple[str, ...] = ()
    """Models that think before they answer unless they are told not to: they get a budget for the thought."""
    untempered: tuple[str, ...] = ()
    """Models that refuse or ignore a temperature: their answers are drawn at 1, and no penalties are sent."""
    tempered: tuple[str, ...] = ()
    """Exceptions among `thinkers` and `untempered`."""
    without_thought: tuple[str, ...] = ()
    """Models that take a temperature once the effort is `none`."""
    no_thought: JsonObject = field(default_factory=dict)
    """What stands in the body for the effort `none`, where that is no value of `effort`."""
    lists_models: bool = True
    """Whether /models has the form of OpenAI's list."""
    listed_prefix: str = ""
    """What stands before a model's name in that list."""


_ALL = (
    # https://developers.openai.com/api/docs/guides/reasoning and /guides/latest-model, as others quote them:
    # max_tokens is refused by models that think, temperature and top_p are taken with the effort none only, which
    # GPT-5.1 and later have.
    Provider(
        "openai", "https://api.openai.com/v1", "OPENAI_API_KEY", budget="max_completion_tokens", neutral=_NO_PENALTIES,
        thinkers=_OPENAI_THINKERS, untempered=_OPENAI_THINKERS, tempered=("gpt-5-chat*", "gpt-5.?-chat*"),
        without_thought=("gpt-5.?*",),
    ),
    # https://platform.claude.com/docs/en/cli-sdks-libraries/libraries/openai-sdk: seed, penalties and reasoning_effort
    # are ignored, temperature is 0 to 1. From Opus 4.1 on, temperature and top_p together are refused, and from 4.7 on
    # both (400, "temperature is deprecated for this model": github.com/BerriAI/litellm/issues/26444).
    Provider(
        "anthropic", "https://api.anthropic.com/v1", "ANTHROPIC_API_KEY", seed="", has_top_p=False, effort="",
        untempered=_CLAUDE_WITHOUT_SAMPLING,
    ),
    # https://ai.google.dev/gemini-api/docs/openai: thoughts are on by default from 2.5 on; /models names models/NAME.
    # completion_tokens leaves thoughts out, total_tokens has them (github.com/vercel/ai/issues/6082).
    Provider(
        "gemini", "https://generativelanguage.googleapis.com/v1beta/openai", "GEMINI_API_KEY",
        thinkers=("gemini-2.5*", "gemini-3*"), tempered=("gemini-2.5-flash-lite*",), listed_prefix="models/",
    ),
    # https://openrouter.ai/docs/guides/best-practices/reasoning-tokens: reasoning.effort for every model; parameters
    # that a model does not take are ignored, also the temperature of Claude 4.7 (/model-migrations/claude-4-7).
    Provider(
        "openrouter", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY", neutral=_NO_PENALTIES,
        effort="reasoning.effort", thinkers=("openai/o?*", "openai/gpt-5*", "google/gemini-2.5*", "google/gemini-3*"),
        untempered=("openai/o?*", "openai/gpt-5*", "anthropic/claude*4.7*", "anthropic/claude*5*"),
        tempered=("openai/gpt-5-chat*", "openai/gpt-5.?-chat*", "anthropic/claude*3.5*", "anthropic/claude*4.5*"),
    ),
    # https://docs.together.ai/docs/inference/openai-compatibility; /models is a bare list.
    Provider(
        "together", "https://api.together.ai/v1", "TOGETHER_API_KEY", lists_models=False,
        neutral={**_NO_PENALTIES, "repetition_penalty": 1.0},
    ),
    # https://console.groq.com/docs/openai: log-probabilities are refused, temperature 0 becomes 1e-8.
    Provider("groq", "https://api.groq.com/openai/v1", "GROQ_API_KEY", thinkers=("openai/gpt-oss*", "qwen/qwen3*")),
    # https://api-docs.deepseek.com/guides/thinking_mode: thinking is on by default, and has no temperature.
    Provider(
        "deepseek", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY", seed="", thinkers=("*",), untempered=("*",),
        without_thought=("*",), no_thought={"thinking": {"type": "disabled"}},
    ),
    # https://docs.mistral.ai/api, as others quote it: the seed is random_seed; what it does not know is refused (422).
    Provider(
        "mistral", "https://api.mistral.ai/v1", "MISTRAL_API_KEY", seed="random_seed", neutral=_NO_PENALTIES,
        thinkers=("magistral*",),
    ),
    # https://docs.x.ai/developers/model-capabilities/text/comparison, as others quote it: penalties and stop texts
    # are refused by models that think; completion_tokens leaves thoughts out.
    Provider(
        "xai", "https://api.x.ai/v1", "XAI_API_KEY", thinkers=("grok-4*",), tempered=("*non-reasoning*",),
    ),
)  # fmt: skip

PROVIDERS: Mapping[str, Provider] = {one.name: one for one in _ALL}
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Efforts of a thought that some provider knows; each refuses those that it does not."""
DEFAULT_THOUGHT = 16_384
"""Tokens for the thought of a model that thinks, unless --think-budget says otherwise."""


def find_provider(name: str) -> Provider:
    """Return the provider of that name, or raise BadInput with the nearest one."""
    if name in PROVIDERS:
        return PROVIDERS[name]
    near = get_close_matches(name, PROVIDERS, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(PROVIDERS)}"
    raise BadInput(f"no provider {name!r}: {hint}; --base-url takes any server")


def provider_at(address: str) -> str:
    """Return the name of the provider behind an address; empty for any other server."""
    host = urlsplit(address).hostname
    return next((one.name for one in _ALL if urlsplit(one.address).hostname == host), "")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one model of a provider is asked."""

    provider: Provider
    thinks: bool
    has_temperature: bool
    effort: str = ""

    @property
    def budget(self) -> str:
        """Return the name of the token budget."""
        return self.provider.budget

    def adapt(self, body: dict[str, Any], seed: int | None) -> dict[str, Any]:  # JSON values
        """Return the body of a request as the provider takes it; `seed` is that of a sampled answer."""
        found = {name: value for name, value in body.items() if name not in ("temperature", "top_p", "seed")}
        if self.has_temperature:
            found["temperature"] = body["temperature"]
            if self.provider.has_top_p:
                found["top_p"] = body["top_p"]
            found |= self.provider.neutral
        if seed is not None and self.provider.seed:
            found[self.provider.seed] = seed
        return found | self._effort()

    def _effort(self) -> dict[str, Any]:
        if not self.effort:
            return {}
        if self.effort == "none" and self.provider.no_thought:
            return dict(self.provider.no_thought)
        outer, dot, inner = self.provider.effort.partition(".")
        return {outer: {inner: self.effort} if dot else self.effort}


def dialect_of(provider: str, model: str, effort: str = "") -> Dialect:
    """Return how a model of a provider is asked, with the effort of its thought if one is stated.

    Raises:
        BadInput: no such provider, or one that takes no effort.
    """
    one = find_provider(provider)
    if effort and not one.effort:
        raise BadInput(f"{provider} ignores the effort of a thought: leave --reasoning-effort out")
    is_off = effort == "none"
    excepted = _fits(model, one.tempered)
    untempered = _fits(model, one.untempered) and not excepted and not (is_off and _fits(model, one.without_thought))
    return Dialect(one, _fits(model, one.thinkers) and not excepted and not is_off, not untempered, effort)


def _fits(model: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(model, pattern) for pattern in patterns)
