"""Complete prompts without a model: perfect, by chance, or worse the harder the item.

The oracle knows the gold, so it tests the way from prompt to page, and makes demonstrations.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal, get_args

from fathom.harness.engines.base import Completion, Request, best_choice, failed, too_long
from fathom.harness.errors import EngineFailed, UnknownModel
from fathom.tasks.base import Instance, level_of, styles_of
from fathom.tasks.errors import TaskError
from fathom.tasks.registry import find_family, instance_from_id
from fathom.tasks.stream import Stream

OracleKind = Literal["perfect", "chance", "noisy"]
_BATCH = 256
_HALF, _SLOPE = 3.0, 1.0
"""The noisy oracle knows the answer half of the time at this hardness, and loses it this fast."""


def oracle_kind(model: str) -> OracleKind:
    """Read oracle/perfect, oracle/chance or oracle/noisy; `oracle` alone is perfect.

    Raises:
        UnknownModel: another name.
    """
    name = model.removeprefix("oracle/") if model != "oracle" else "perfect"
    for kind in get_args(OracleKind):
        if name == kind:
            return kind  # type: ignore[no-any-return]  # get_args forgets the literals' type
    raise UnknownModel(f"the oracle engine has no model {model!r}; known: oracle/perfect, oracle/chance, oracle/noisy")


@dataclass(frozen=True, slots=True)
class OracleEngine:
    """Answer from the item's id; see the module's docstring."""

    kind: OracleKind = "perfect"
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
        """Nothing is held."""

    def _complete(self, request: Request) -> Completion:
        n_tokens = len(request.prompt.split())
        if n_tokens >= self.context:
            return too_long(request, n_tokens)
        try:
            item = instance_from_id(request.item)
        except TaskError as error:
            return failed(request, EngineFailed(f"the oracle answers Fathom's own items only: {error}"))
        style = _style_of(item) if len(request.choices) < 2 else "choice"
        # whoever is asked again at a temperature thinks again
        again = (str(request.repeat),) if request.repeat and request.sampling.temperature > 0 else ()
        knows = self._knows(item, style, again)
        if len(request.choices) == 1:  # whoever does not know finds every possible truth as likely
            share = item.facts["nats"]["known" if knows else "guessed"]
            return best_choice(request, [share], [knows], n_tokens, 0.0)
        answer = item.gold if knows else self._guess(item, style, again)
        if request.choices:
            scores = [0.0 if choice.strip() == answer else -9.0 for choice in request.choices]
            return best_choice(request, scores, [score == 0.0 for score in scores], n_tokens, 0.0)
        return Completion(request.key, f" {answer}", "stop", n_tokens, 1, 0.0)

    def _knows(self, item: Instance, style: str, again: tuple[str, ...]) -> bool:
        if self.kind != "noisy":
            return self.kind == "perfect"
        hardness = level_of(find_family(item.family), item.level).hardness
        known = 1 / (1 + math.exp((hardness - _HALF) / _SLOPE))
        return Stream("oracle", "knows", style, item.id, *again).below(1 << 32) < known * (1 << 32)

    def _guess(self, item: Instance, style: str, again: tuple[str, ...]) -> str:
        return find_family(item.family).guess(item, style, Stream("oracle", "guess", style, item.id, *again))


def _style_of(item: Instance) -> str:
    """Return the style in which the item is answered at once."""
    family = find_family(item.family)
    return styles_of(family, level_of(family, item.level))[0]
