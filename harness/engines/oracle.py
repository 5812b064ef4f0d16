"""The engine oracle: answers from the item's id without a model, for tests and demonstrations.

perfect: always right; chance: always guesses; noisy: right less often, the harder the item; noisy-N: the same, half-way
at hardness N; even: right where the hardness, rounded, is even, so that no falling curve describes it.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice

from fathom.harness.engines.base import Completion, Request, best_choice, failed, too_long
from fathom.harness.errors import EngineFailed, UnknownModel
from fathom.tasks.base import Instance, level_of, styles_of
from fathom.tasks.errors import TaskError
from fathom.tasks.registry import find_family, instance_from_id
from fathom.tasks.stream import Stream

_KINDS = ("perfect", "chance", "noisy", "even")
_BATCH = 256
_MIDPOINT, _SCALE = 3.0, 1.0
"""The noisy oracle knows the answer with the probability of a logistic curve with this midpoint and scale."""


def oracle_kind(model: str) -> str:
    """Return the kind of oracle/perfect, oracle/noisy and others; `oracle` alone is perfect.

    Raises:
        UnknownModel: another name.
    """
    name = model.removeprefix("oracle/") if model != "oracle" else "perfect"
    if name in _KINDS or (name.startswith("noisy-") and name[6:].replace(".", "", 1).isdecimal()):
        return name
    known = ", ".join(f"oracle/{kind}" for kind in (*_KINDS, "noisy-4.5"))
    raise UnknownModel(f"the oracle engine has no model {model!r}; known: {known}")


@dataclass(frozen=True, slots=True)
class OracleEngine:
    """Answers from the item's id."""

    kind: str = "perfect"
    context: int = 1 << 20

    @property
    def name(self) -> str:
        """Return "oracle"."""
        return "oracle"

    def facts(self) -> Mapping[str, str]:
        """Return the kind of oracle."""
        return {"kind": self.kind}

    def stream(self, requests: Iterator[Request]) -> Iterator[list[Completion]]:
        """Answer in batches, in order."""
        while batch := list(islice(requests, _BATCH)):
            yield [self._complete(request) for request in batch]

    def close(self) -> None:
        """Do nothing: there is no memory to free."""

    def _complete(self, request: Request) -> Completion:
        n_tokens = len(request.prompt.split())
        if n_tokens >= self.context:
            return too_long(request, n_tokens)
        try:
            item = instance_from_id(request.item)
        except TaskError as error:
            return failed(request, EngineFailed(f"the oracle answers Fathom's own items only: {error}"))
        style = _first_style(item.family, item.level) if len(request.choices) < 2 else "choice"
        # at a temperature, a repeated request is answered anew
        again = (str(request.repeat),) if request.repeat and request.sampling.temperature > 0 else ()
        knows = self._knows(item, style, again)
        if len(request.choices) == 1:  # without knowledge, every possible answer is equally likely
            share = item.facts["nats"]["known" if knows else "guessed"]
            return best_choice(request, [share], [knows], n_tokens, 0.0)
        answer = item.gold if knows else self._guess(item, style, again)
        if request.choices:
            scores = [0.0 if choice.strip() == answer else -9.0 for choice in request.choices]
            return best_choice(request, scores, [score == 0.0 for score in scores], n_tokens, 0.0)
        return Completion(request.key, f" {answer}", "stop", n_tokens, 1, 0.0)

    def _knows(self, item: Instance, style: str, again: tuple[str, ...]) -> bool:
        if self.kind in ("perfect", "chance"):
            return self.kind == "perfect"
        hardness = level_of(find_family(item.family), item.level).hardness
        if self.kind == "even":
            return round(hardness) % 2 == 0
        middle = float(self.kind.removeprefix("noisy").removeprefix("-") or _MIDPOINT)
        known = 1 / (1 + math.exp(min(700.0, (hardness - middle) / _SCALE)))
        return Stream("oracle", "knows", style, item.id, *again).below(1 << 32) < known * (1 << 32)

    def _guess(self, item: Instance, style: str, again: tuple[str, ...]) -> str:
        return find_family(item.family).guess(item, style, Stream("oracle", "guess", style, item.id, *again))


@cache
def _first_style(family: str, level: str) -> str:
    """Return the first style of a level."""
    found = find_family(family)
    return styles_of(found, level_of(found, level))[0]
