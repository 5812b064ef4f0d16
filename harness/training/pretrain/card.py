"""Turn what is known about a trained model into its card."""

from collections.abc import Mapping
from dataclasses import dataclass

from fathom.harness.stats.intervals import wilson
from fathom.harness.training.pretrain.curve import DRAWING
from fathom.harness.training.pretrain.exams import Marks
from fathom.harness.training.recipe import Recipe


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a card states; `tokens` counts padding, `seconds` is wall time, `text` says what was read."""

    name: str
    kind: str
    step: int
    tokens: int
    seconds: float
    size: int
    text: str
    device: str


def write_card(recipe: Recipe, facts: CardFacts, marks: Mapping[str, Marks]) -> str:
    """Return the card in Markdown."""
    return f"""---
license: apache-2.0
library_name: transformers
tags: [fathom, synthetic]
---

# {facts.name}

{facts.kind} of {facts.size:,} parameters, trained by `fathom pretrain {recipe.name}` on synthetic text alone, for
experiments and tests of Fathom. It knows nothing but what this text teaches.

- Recipe `{recipe.name}`, seed {recipe.seed}: {facts.step:,} of {recipe.steps:,} steps of {recipe.batch} rows
- {facts.tokens:,} tokens seen in {facts.seconds / 60:.1f} minutes of wall time, on {facts.device}
- {facts.text}
- Weights are stored as {recipe.save}; compute in float32
- Training streams are disjoint from all evaluation streams

![loss curve]({DRAWING})

{_table(marks)}
<details><summary>The recipe</summary>

```json
{recipe.model_dump_json(indent=1, exclude_defaults=True)}
```

</details>
"""


def _table(marks: Mapping[str, Marks]) -> str:
    if not marks:
        return ""
    lines = [_line(name, one) for name, one in marks.items()]
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


def _line(name: str, one: Marks) -> str:
    interval = wilson(one.right, one.n)
    bits = "–" if one.learnt_bits is None else f"{one.learnt_bits:.2f} of {one.most_bits:.2f}"
    return f"| {name} | {one.right} of {one.n} | {interval.low:.1%} to {interval.high:.1%} | {bits} |"
