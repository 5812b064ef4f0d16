"""Train a small model by its rewards in an environment: an example in plain torch, without a trainer's package.

    python -m fathom.harness.training.reinforce --seconds 60

Each step asks some questions, several times each, and makes the answers that earned more than their question's mean
likelier (policy gradient with the group's mean as baseline: GRPO without its clipping and reference model).
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fathom.harness.engines.model import REFERENCE
from fathom.tasks.environments import Entry, Environment, environment


@dataclass(frozen=True, slots=True)
class Settings:
    """What one step does."""

    n_questions: int = 16
    n_answers: int = 8
    """Answers to each question."""
    learning_rate: float = 3e-4
    most_tokens: int = 40
    """Tokens of an answer at most."""


def reinforce(
    source: Environment, seconds: float, settings: Settings | None = None, folder: Path = REFERENCE / "pebble-early"
) -> Iterator[float]:
    """Train the model of a folder for so many seconds; yield the mean reward of each step, 0..1.

    The entries of the environment are asked in order, each once: no reward is of a question that was trained on.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    chosen = settings or Settings()
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)  # transformers has few types
    optimizer = torch.optim.AdamW(model.parameters(), lr=chosen.learning_rate, weight_decay=0.0)
    end, at = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        entries = [source[idx] for idx in range(at, at + chosen.n_questions) for _ in range(chosen.n_answers)]
        at += chosen.n_questions
        tokens, n_prompt = _answers(model, tokenizer, entries, chosen.most_tokens)
        texts = tokenizer.batch_decode(tokens[:, n_prompt:], skip_special_tokens=True)
        rewards = torch.tensor(source.rewards(texts, [one["metadata"] for one in entries]))
        groups = rewards.view(-1, chosen.n_answers)
        advantages = (groups - groups.mean(1, keepdim=True)).view(-1)
        loss = -(advantages * _log_likelihoods(model, tokens, n_prompt, tokenizer.pad_token_id)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        yield float(rewards.mean())


def _answers(model: Any, tokenizer: Any, entries: list[Entry], most: int) -> tuple[Any, int]:
    """Draw an answer to each entry at temperature 1; return tokens, (entry, place), and the length of the prompts."""
    import torch

    asked = tokenizer([entry["question"] for entry in entries], return_tensors="pt", padding=True)
    with torch.no_grad():
        tokens = model.generate(
            input_ids=asked["input_ids"], attention_mask=asked["attention_mask"], do_sample=True, top_k=0,
            max_new_tokens=most, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
    return tokens, asked["input_ids"].shape[1]


def _log_likelihoods(model: Any, tokens: Any, n_prompt: int, padding: int) -> Any:
    """Return the log-likelihood of each answer, up to and with its first padding or end, in nats."""
    import torch

    known = (tokens != padding).long()
    places = (known.cumsum(1) - 1).clamp(min=0)
    scores = model(input_ids=tokens, attention_mask=known, position_ids=places).logits[:, n_prompt - 1 : -1]
    said = tokens[:, n_prompt:]
    nats = torch.log_softmax(scores, -1).gather(2, said[..., None])[..., 0]
    ended = (said == padding).long().cumsum(1)
    return (nats * (ended <= 1)).sum(1)


def main() -> None:
    """Train, and print the mean reward of each step."""
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--family", default="depo")
    words.add_argument("--level", default="n8k3")
    words.add_argument("--seconds", type=float, default=60.0)
    asked = words.parse_args()
    source = environment(asked.family, asked.level, style="cot")
    found, began = list[float](), time.monotonic()
    for reward in reinforce(source, asked.seconds):
        found.append(reward)
        print(f"{time.monotonic() - began:6.1f} s  step {len(found):4}  reward {reward:.3f}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
