"""The callback of Trainer that reports progress, holds exams, seals checkpoints and saves models."""

import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from fathom.harness.engines.hf import HfEngine
from fathom.harness.errors import Diverged
from fathom.harness.training.pretrain.card import CardFacts, write_card
from fathom.harness.training.pretrain.checkpoints import seal_checkpoint
from fathom.harness.training.pretrain.curve import read_history, save_curve
from fathom.harness.training.pretrain.exams import ExamResult, hold_exams
from fathom.harness.training.pretrain.model import describe_shape
from fathom.harness.training.pretrain.rows import TrainingData
from fathom.harness.training.recipe import Recipe

log = logging.getLogger(__name__)

_LESSON_EXAM_SEED = "e8a3"
"""Seed of the exams of recipes with lessons. Exams of recipes with corpora use the recipe's seed, which determines the
population. Evaluation streams are disjoint from training streams for all seeds."""
_CARD_FACTOR = 4
"""Items of an exam for the card, as a multiple of those of an exam during training."""


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """State of a training. `exams` holds results by exam, empty between exams; `held_loss` is set with them."""

    step: int
    steps: int
    loss: float
    tokens: int
    seconds: float
    held_loss: float | None = None
    exams: Mapping[str, ExamResult] = field(default_factory=dict)

    @property
    def accuracy(self) -> dict[str, float]:
        """Return the share of right answers by exam."""
        return {name: one.share for name, one in self.exams.items()}


OnTrainingProgress = Callable[[TrainingProgress], None]


class PretrainCallback(TrainerCallback):
    """Report the loss, hold exams, seal checkpoints, and save the early and the final model; on the first rank only."""

    def __init__(self, recipe: Recipe, out: Path, data: TrainingData, on_progress: OnTrainingProgress) -> None:
        """Start the clock."""
        self._recipe, self._out, self._data, self._on_progress = recipe, out, data, on_progress
        self._began, self._spent = time.monotonic(), 0.0
        self.saved: list[Path] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # signature of transformers
        """Add the seconds up to the checkpoint to the clock."""
        self._spent = max((row.get("seconds", 0.0) for row in state.log_history), default=0.0)
        self._began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Log and hold exams at each checkpoint, so that a resumed curve is the same; save the early model."""
        if state.global_step % self._recipe.exam_every == 0 or state.global_step == self._recipe.steps:
            control.should_log = control.should_evaluate = control.should_save = True
        if state.global_step == self._recipe.early_step and state.is_world_process_zero:
            self._save(f"{self._recipe.name}-early", model, state)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Report the loss; raise Diverged if it is not finite, before anything is saved."""
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        gradient = (logs or {}).get("grad_norm", 0.0)
        if not math.isfinite(loss) or not math.isfinite(gradient):
            rate = (logs or {}).get("learning_rate", math.nan)
            raise Diverged(
                f"the loss is {loss:g} and the gradient's norm {gradient:g} at step {state.global_step}, with the "
                f"learning rate at {rate:g}: lower learning_rate ({self._recipe.learning_rate:g}) or raise warmup; "
                f"the last good checkpoint is kept in {args.output_dir}"
            )
        state.log_history[-1]["seconds"] = self._seconds()
        if state.is_world_process_zero:
            self._report(state, loss)

    def on_evaluate(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Hold exams."""
        if not state.is_world_process_zero:
            return
        exams = self._examine(model, self._recipe.exam_items)
        row = state.log_history[-1]
        row["exams"] = {name: asdict(one) for name, one in exams.items()}
        row["seconds"] = self._seconds()
        loss = next((entry["loss"] for entry in reversed(state.log_history) if "loss" in entry), math.nan)
        self._report(state, loss, row.get("eval_loss"), exams)
        save_curve(read_history(state.log_history), Path(args.output_dir), self._recipe.name)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Seal the new checkpoint."""
        if state.is_world_process_zero:
            seal_checkpoint(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def on_train_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Save the final model."""
        if state.is_world_process_zero:
            self._save(self._recipe.name, model, state)

    def _seconds(self) -> float:
        return self._spent + time.monotonic() - self._began

    def _report(
        self, state: Any, loss: float, held: float | None = None, exams: Mapping[str, ExamResult] | None = None
    ) -> None:
        tokens, seconds = int(state.num_input_tokens_seen), self._seconds()
        progress = TrainingProgress(state.global_step, self._recipe.steps, loss, tokens, seconds, held, exams or {})
        self._on_progress(progress)

    def _examine(self, model: Any, n: int) -> dict[str, ExamResult]:
        was_training = model.training
        seed = self._recipe.seed if self._recipe.corpus else _LESSON_EXAM_SEED
        random = torch.random.get_rng_state()  # sampled answers would change it
        results = hold_exams(HfEngine(model, self._data.tokenizer), self._recipe.exams, n, seed)
        torch.random.set_rng_state(random)
        model.train(was_training)
        return results

    def _save(self, name: str, model: Any, state: Any) -> None:
        folder, partial = self._out / name, self._out / f".{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        stored = getattr(torch, self._recipe.save)
        # The config keeps float32, the type to compute in; weights in float16 take half the space.
        model.save_pretrained(partial, state_dict={key: value.to(stored) for key, value in model.state_dict().items()})
        self._data.tokenizer.save_pretrained(partial)
        rows = read_history(state.log_history)
        save_curve(rows, partial, name)
        facts = CardFacts(
            name, describe_shape(self._recipe.shape), state.global_step, int(state.num_input_tokens_seen),
            self._seconds(), model.num_parameters(), self._data.description, str(model.device),
        )  # fmt: skip
        card = write_card(self._recipe, facts, self._examine(model, _CARD_FACTOR * self._recipe.exam_items))
        (partial / "README.md").write_text(card, encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        self.saved.append(folder)
        log.info("saved %s", folder)
