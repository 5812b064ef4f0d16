"""Turn a recipe into a trained Hugging Face model folder, with transformers' Trainer."""

import json
import logging
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

from harness.corpus import END, LessonRows, build_tokenizer, pad_rows
from harness.engines.base import Request, Sampling
from harness.engines.hf import HfEngine
from harness.errors import BadRecipe, EngineFailed
from harness.muon import Muon
from harness.prompts import stops
from harness.recipe import Exam, Recipe
from harness.stats import wilson
from tasks import find_family, make_instance, pose
from tasks.base import level_of
from tasks.stream import Stream

log = logging.getLogger(__name__)

EXAM_SEED = "e8a3"
"""Seed of held-out items; evaluation streams are disjoint from training streams whatever the seed."""
_PROGRESS_N = 50
_CARD_N = 200


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands; `accuracy` is by exam, empty between exams."""

    step: int
    steps: int
    loss: float
    accuracy: dict[str, float]


Report = Callable[[Progress], None]


def pretrain(recipe: Recipe, out: Path, report: Report) -> list[Path]:
    """Train a recipe to the end, going on from the last whole checkpoint in `out/checkpoints`.

    Returns the model folders, `out/NAME` and, if the recipe asks for it, `out/NAME-early`.

    Raises:
        BadRecipe: `out` holds the checkpoints of another recipe.
        EngineFailed: the loss is no longer a number.
    """
    checkpoints = out / "checkpoints"
    _claim(checkpoints, recipe)
    set_seed(torch_seed(recipe.seed))
    tokenizer = build_tokenizer(recipe)
    fast = _fast(tokenizer, recipe)
    rows = LessonRows(recipe, tokenizer)
    saver = _Saver(recipe, out, fast, report)
    model = LlamaForCausalLM(_config(recipe, tokenizer))
    trainer = Trainer(
        model=model,
        optimizers=(_optimizer(model, recipe), None),
        args=_arguments(recipe, checkpoints),
        train_dataset=rows,
        data_collator=pad_rows,
        callbacks=[saver],
    )
    trainer.remove_callback(_default_printer())
    trainer.train(resume_from_checkpoint=_last_whole(checkpoints))
    return saver.saved


def _last_whole(checkpoints: Path) -> str | None:
    """Return the newest checkpoint that was written to its end: Trainer writes the state last."""
    found = sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]), reverse=True)
    for folder in found:
        try:
            json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
            return str(folder)
        except (OSError, ValueError):
            log.warning("%s is not whole; going on from the one before it", folder)
    return None


def torch_seed(seed: str) -> int:
    """Return 31 bits of a seed, as torch wants it."""
    return Stream("torch", seed).below(1 << 31)


def _claim(checkpoints: Path, recipe: Recipe) -> None:
    checkpoints.mkdir(parents=True, exist_ok=True)
    mark = checkpoints / "recipe.json"
    wanted = recipe.model_dump_json(indent=1)
    if mark.exists() and mark.read_text(encoding="utf-8") != wanted:
        raise BadRecipe(f"{checkpoints} was begun with another recipe: give another --out, or remove it")
    mark.write_text(wanted, encoding="utf-8")


def _config(recipe: Recipe, tokenizer: Tokenizer) -> LlamaConfig:
    shape = recipe.shape
    end = tokenizer.token_to_id(END)
    return LlamaConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=shape.hidden,
        intermediate_size=3 * shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.context,
        initializer_range=shape.init_std,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=end,
        dtype="float32",
    )


def _fast(tokenizer: Tokenizer, recipe: Recipe) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END,
        padding_side="left",
        model_max_length=recipe.shape.context,
        clean_up_tokenization_spaces=False,
    )


def _arguments(recipe: Recipe, checkpoints: Path) -> TrainingArguments:
    return TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup,
        lr_scheduler_type="linear",
        weight_decay=0.01,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        logging_steps=10,
        save_steps=recipe.exam_every,
        save_total_limit=2,
        train_sampling_strategy="sequential",  # the recipe says what comes first
        include_num_input_tokens_seen="all",
        seed=torch_seed(recipe.seed),
        use_cpu=not torch.cuda.is_available(),
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
    )


def _optimizer(model: LlamaForCausalLM, recipe: Recipe) -> torch.optim.Optimizer | None:
    """Return what steps the weights; None leaves it to transformers, which takes AdamW."""
    if recipe.optimizer == "adamw":
        return None
    matrices: list[torch.Tensor] = []
    others: list[torch.Tensor] = []
    for name, weight in model.named_parameters():
        (matrices if weight.ndim == 2 and ".layers." in name else others).append(weight)
    return Muon(matrices, others, recipe.learning_rate)


def _default_printer() -> type[TrainerCallback]:
    from transformers import PrinterCallback

    return PrinterCallback


class _Saver(TrainerCallback):
    """Report the loss, hold exams, and save the early and the final model."""

    def __init__(self, recipe: Recipe, out: Path, tokenizer: PreTrainedTokenizerFast, report: Report) -> None:
        self._recipe, self._out, self._tokenizer, self._report = recipe, out, tokenizer, report
        self._began = time.monotonic()
        self._spent = 0.0
        self.saved: list[Path] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # signature of transformers
        """Take up the clock where the checkpoint left it."""
        clock = Path(args.output_dir) / "seconds.json"
        self._spent = json.loads(clock.read_text())["seconds"] if clock.exists() and state.global_step else 0.0
        self._began = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Report the loss; stop when it is no number."""
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):
            raise EngineFailed(
                f"the loss is {loss} at step {state.global_step}: lower learning_rate; "
                f"the last good checkpoint is kept in {args.output_dir}"
            )
        self._report(Progress(state.global_step, self._recipe.steps, loss, {}))

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Hold exams; save the early model."""
        step = state.global_step
        if step == self._recipe.early_step:
            self._save(model, f"{self._recipe.name}-early", step, state.num_input_tokens_seen)
        if step % self._recipe.exam_every == 0 or step == self._recipe.steps:
            Path(args.output_dir, "seconds.json").write_text(json.dumps({"seconds": self._seconds()}))
            loss = next((row["loss"] for row in reversed(state.log_history) if "loss" in row), math.nan)
            accuracy = {name: k / _PROGRESS_N for name, k in self._examine(model, _PROGRESS_N).items()}
            self._report(Progress(step, self._recipe.steps, loss, accuracy))

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Save the final model."""
        self._save(model, self._recipe.name, state.global_step, state.num_input_tokens_seen)

    def _seconds(self) -> float:
        return self._spent + time.monotonic() - self._began

    def _examine(self, model: Any, n: int) -> dict[str, int]:
        was_training = model.training
        right = examine(HfEngine(model, self._tokenizer), self._recipe.exams, n)
        model.train(was_training)
        return right

    def _save(self, model: Any, name: str, step: int, tokens: int) -> None:
        folder = self._out / name
        partial = self._out / f".{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        half = {key: value.to(torch.float16) for key, value in model.state_dict().items()}
        model.save_pretrained(partial, state_dict=half)  # 2 bytes a weight; config says: compute in float32
        self._tokenizer.save_pretrained(partial)
        facts = CardFacts(name, step, tokens, self._seconds(), model.num_parameters())
        card = _card(self._recipe, facts, self._examine(model, _CARD_N))
        (partial / "README.md").write_text(card, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        self.saved.append(folder)
        log.info("saved %s", folder)


def exam_name(exam: Exam) -> str:
    """Name an exam in tables."""
    return f"{exam.family}/{exam.level}/{exam.channel}/{exam.style}"


def examine(engine: HfEngine, exams: tuple[Exam, ...], n: int) -> dict[str, int]:
    """Return how many of n held-out items a model gets right, by exam; greedy, no shots."""
    right: dict[str, int] = {}
    for exam in exams:
        family = find_family(exam.family)
        budget = family.budget(level_of(family, exam.level), exam.style)
        items = {}
        requests = []
        for index in range(n):
            item = make_instance(family, exam.level, exam.channel, EXAM_SEED, index)
            items[item.id] = item
            sampling = Sampling(budget, stops(exam.style, 0))
            requests.append(Request(item.id, item.id, pose(family, item, exam.style), sampling))
        done = (completion for batch in engine.stream(iter(requests)) for completion in batch)
        right[exam_name(exam)] = sum(family.grade(items[one.key], one.text).correct for one in done)
    return right


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a model card states; `tokens` counts padding, `seconds` is wall time."""

    name: str
    step: int
    tokens: int
    seconds: float
    size: int


def _card(recipe: Recipe, facts: CardFacts, right: dict[str, int]) -> str:
    rows = []
    for exam, k in right.items():
        interval = wilson(k, _CARD_N)
        rows.append(f"| {exam} | {k} of {_CARD_N} | {interval.low:.1%} to {interval.high:.1%} |")
    table = "\n".join(rows)
    return f"""---
license: apache-2.0
library_name: transformers
tags: [fathom, synthetic]
---

# {facts.name}

A Llama of {facts.size:,} parameters, trained by `fathom pretrain {recipe.name}` on synthetic text alone, for
demonstrations and tests of Fathom. It knows nothing but what its lessons teach.

- Recipe `{recipe.name}`, seed {recipe.seed}: {facts.step:,} of {recipe.steps:,} steps of {recipe.batch} texts
- {facts.tokens:,} tokens seen in {facts.seconds / 60:.0f} minutes of wall time
- Lessons: {", ".join(f"{row.family}/{row.level}/{row.channel}/{row.style}" for row in recipe.lessons)}
- Weights are stored as float16; compute in float32
- Training streams are disjoint from all evaluation streams

Held-out accuracy, greedy, no shots (Wilson 95% interval):

| exam | right | interval |
|---|---|---|
{table}
"""
