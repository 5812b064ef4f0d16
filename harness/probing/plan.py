"""What a probe is to do: targets, items, layers and controls, checked before a model is loaded."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from hashlib import blake2b
from importlib.metadata import version
from typing import Any

from fathom.harness.engines.base import EngineSettings
from fathom.harness.engines.chat_template import chat_template_of
from fathom.harness.engines.model import ModelSource
from fathom.harness.errors import BadInput, NotProbeable, UnknownTarget
from fathom.harness.runs.plan import resolve_model
from fathom.tasks.probes import ProbeSet
from fathom.tasks.registry import all_probe_sets, find_family
from fathom.tasks.stream import canonical_seed

Tell = Callable[[str], None]
"""Hears what is being done, a line at a time."""

LEAST_FIT, LEAST_TEST = 200, 100
"""Fewest items to fit and to test: with fewer, hardly anything can be told from chance."""
DEFAULT_N = (1_500, 600)
DEFAULT_SEED = "2026"
N_CONTROLS = 20
"""Shuffles of the labels; the greatest of 20 is beaten by chance once in 21 times."""


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """How a model is probed, as the user says it."""

    targets: tuple[str, ...] = ()
    """Names, beginnings of names (depo, depo.n8k2), or patterns with *; empty for the default targets."""
    layers: str | None = None
    n: tuple[int, int] = DEFAULT_N
    """Items to fit and to test."""
    controls: int = N_CONTROLS
    seed: str = DEFAULT_SEED
    chat: bool | None = None
    dtype: str = "auto"
    patch: bool = False


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """A checked probe of a model."""

    source: ModelSource
    settings: ProbeSettings
    targets: tuple[str, ...]
    chat: bool
    is_named: bool
    """Whether the user named the targets: then it is an error if none of them can be probed."""

    @property
    def sets(self) -> tuple[ProbeSet, ...]:
        """The sets with at least one target of the plan."""
        return tuple(one for one in all_probe_sets().values() if any(name in self.targets for name in one.targets))

    def manifest(self, layers: Sequence[int], dtype: str) -> dict[str, Any]:
        """Return everything that decides the numbers, as JSON values."""
        versions = {one.cell.family: find_family(one.cell.family).version for one in self.sets}
        return {
            "model": {"name": self.source.name, "digest": self.source.digest}, "seed": self.settings.seed,
            "n": list(self.settings.n), "controls": self.settings.controls, "layers": list(layers), "dtype": dtype,
            "targets": list(self.targets), "chat": self.chat, "families": versions,
            "packages": {name: version(name) for name in ("torch", "transformers")}, "probe": 1,
        }  # fmt: skip


def digest_of(manifest: Mapping[str, Any]) -> str:
    """Return the digest of a manifest; 32 hex digits."""
    return blake2b(json.dumps(manifest, sort_keys=True).encode(), digest_size=16).hexdigest()


def make_plan(model: str | None, settings: ProbeSettings, engine: str = "hf") -> ProbePlan:
    """Check what can be checked before a model is loaded.

    Raises:
        UnknownModel, BrokenModel: no such model, or files that cannot be used.
        NotProbeable: a model or an engine whose states cannot be read.
        UnknownTarget: no such target.
        BadInput: too few items, or a chat without a template.
    """
    if engine != "hf":
        raise NotProbeable(
            f"--engine {engine} gives no hidden states: leave it out, and the model is read through transformers"
        )
    if model is not None and model.lower().endswith(".gguf"):
        raise NotProbeable(
            "a GGUF file gives no hidden states: give the folder or hub id of the model it was made from"
        )
    n_fit, n_test = settings.n
    if n_fit < LEAST_FIT or n_test < LEAST_TEST:
        raise BadInput(
            f"--n {n_fit},{n_test}: a probe needs {LEAST_FIT} items to fit and {LEAST_TEST} to test at least, as "
            f"--n {max(n_fit, LEAST_FIT)},{max(n_test, LEAST_TEST)}"
        )
    canonical_seed(settings.seed)
    targets = find_targets(settings.targets)
    source = resolve_model(model, EngineSettings("hf", settings.dtype))
    if source.path is None:
        raise NotProbeable(f"{source.name} has no files: give a folder or a hub id")
    has_template = chat_template_of(source.path) is not None
    if settings.chat and not has_template:
        raise BadInput(f"{source.name} has no chat template: leave out --chat")
    chat = has_template if settings.chat is None else settings.chat
    return ProbePlan(source, settings, targets, chat, bool(settings.targets))


def find_targets(words: Sequence[str]) -> tuple[str, ...]:
    """Return the names of targets that words select, in the order of the list; the default ones for no word.

    Raises:
        UnknownTarget: a word selects none; near names are given.
    """
    sets = all_probe_sets().values()
    known = [name for one in sets for name in one.targets]
    if not words:
        return tuple(name for one in sets if one.is_default for name in one.targets)
    chosen: dict[str, None] = {}
    for word in words:
        found = [name for name in known if name == word or name.startswith(f"{word}.") or fnmatchcase(name, word)]
        if not found:
            near = get_close_matches(word, [*known, *all_probe_sets()], n=4, cutoff=0.4)
            hint = f"near it: {', '.join(near)}" if near else "`fathom probe --list` has all"
            raise UnknownTarget(f"no probe target {word[:60]!r}; {hint}")
        chosen.update(dict.fromkeys(found))
    return tuple(name for name in known if name in chosen)
