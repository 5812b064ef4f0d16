"""The model card: a README in Markdown beside the weights."""

from collections.abc import Mapping
from dataclasses import dataclass

from fathom.harness.stats.intervals import wilson
from fathom.harness.training.pretrain.curve import CURVE_PICTURE
from fathom.harness.training.pretrain.exams import ExamResult
from fathom.harness.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class CardFacts:
    """Facts of a card; `tokens` includes padding, `seconds` is wall time, `text` describes the training text."""

    name: str
    kind: str
    step: int
    tokens: int
    seconds: float
    size: int
    text: str
    device: str


def write_card(recipe: Recipe, facts: CardFacts, exams: Mapping[str, ExamResult]) -> str:
    """Return the card in Markdown."""
    return f"""---
license: apache-2.0
library_name: transformers
tags: [fathom, synthetic]
fathom_shots: 0
---

# {facts.name}

{facts.kind} of {facts.size:,} parameters, trained by `fathom pretrain {recipe.name}` on synthetic text alone, for
experiments and tests of Fathom. It knows nothing but what this text teaches.

- Recipe `{recipe.name}`, seed {recipe.seed}: {facts.step:,} of {recipe.steps:,} steps of {recipe.batch} rows
- {facts.tokens:,} tokens seen in {facts.seconds / 60:.1f} minutes of wall time, on {facts.device}
- {facts.text}
- Weights are stored as {recipe.save}; compute in float32
- Training streams are disjoint from all evaluation streams

![loss curve]({CURVE_PICTURE})

{_table(exams)}
<details><summary>The recipe</summary>

```json
{recipe.model_dump_json(indent=1, exclude_defaults=True)}
```

</details>
"""


def _table(exams: Mapping[str, ExamResult]) -> str:
    if not exams:
        return ""
    lines = [_line(name, one) for name, one in exams.items()]
    return "\n".join(
        [
            "Held-out items, asked as `fathom run` asks them, without shots (Wilson 95% interval):",
            "",
            "| exam | right | interval | bits learnt an item |",
            "|---|---|---|---|",
            *lines,
            "",
        ]
    )


def _line(name: str, one: ExamResult) -> str:
    interval = wilson(one.right, one.n)
    bits = "–" if one.learnt_bits is None else f"{one.learnt_bits:.2f} of {one.most_bits:.2f}"
    return f"| {name} | {one.right} of {one.n} | {interval.low:.1%} to {interval.high:.1%} | {bits} |"
