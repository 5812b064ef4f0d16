"""Turn a recipe into a trained Hugging Face model folder, with transformers' Trainer.

One process trains on one device. `accelerate launch --multi_gpu --no_python fathom pretrain ...` starts one a GPU:
each step's rows are shared out, and the first process alone writes and reports.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

from fathom.harness.errors import BadRecipe
from fathom.harness.training.corpora.writing import Report as Writing
from fathom.harness.training.pretrain.callbacks import Plan, Progress, Report, Watch
from fathom.harness.training.pretrain.checkpoints import claim, last_whole, saving_to
from fathom.harness.training.pretrain.model import build_model, build_optimizer
from fathom.harness.training.pretrain.rows import Material, gather
from fathom.harness.training.recipe import Recipe
from fathom.tasks.stream import Stream

__all__ = ["Progress", "Report", "pretrain"]

_EVALUATION_ROWS = 16
_LOADERS = 4
"""Processes that make rows for a GPU."""


def pretrain(recipe: Recipe, out: Path, report: Report, writing: Writing = lambda _: None) -> list[Path]:
    """Train a recipe to the end, going on from the last whole checkpoint in `out/checkpoints`.

    `report` is told how far the training is, `writing` before that how far the corpus is, if there is one.

    Returns the model folders, `out/NAME` and, if the recipe asks for it, `out/NAME-early`; of all processes that
    train together, the first one's list alone is filled.

    Raises:
        BadRecipe: `out` holds the checkpoints of another recipe, or the rows cannot be shared out evenly.
        DiskFull: a checkpoint or a model could not be saved.
        Diverged: the loss is no longer a number.
    """
    checkpoints = out / "checkpoints"
    arguments = _arguments(recipe, checkpoints)
    with arguments.main_process_first(local=False):  # the others find what it wrote
        claim(checkpoints, recipe)
        material = gather(recipe, out, writing)
        begun = last_whole(checkpoints)
    watch = Watch(Plan(recipe, out, material, report))
    trainer = _trainer(recipe, arguments, material, watch)
    with saving_to(checkpoints):
        trainer.train(resume_from_checkpoint=str(begun) if begun else None)
    return watch.saved


def _trainer(recipe: Recipe, arguments: TrainingArguments, material: Material, watch: Watch) -> Trainer:
    set_seed(_torch_seed(recipe.seed))
    model = build_model(recipe.shape, len(material.tokenizer), int(material.tokenizer.eos_token_id))
    rows: Any = material.rows  # it asks for a torch.utils.data.Dataset, and needs no more than these have
    held: Any = material.held
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=held,
        data_collator=material.collate,
        callbacks=[watch],
        optimizers=(build_optimizer(model, recipe), None),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _arguments(recipe: Recipe, checkpoints: Path) -> TrainingArguments:
    cuda = torch.cuda.is_available()
    bfloat16 = recipe.precision == "bfloat16" or (
        recipe.precision == "auto" and cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    )
    arguments = TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch,
        per_device_eval_batch_size=_EVALUATION_ROWS,
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup,
        lr_scheduler_type=recipe.schedule,
        weight_decay=recipe.weight_decay,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        bf16=bfloat16,
        logging_steps=10,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # Watch stops at them
        eval_strategy="steps",
        eval_steps=recipe.exam_every,
        prediction_loss_only=True,
        save_steps=recipe.exam_every,
        save_total_limit=2,
        train_sampling_strategy="sequential",  # the recipe says what comes first
        include_num_input_tokens_seen="all",
        seed=_torch_seed(recipe.seed),
        use_cpu=not cuda,
        ddp_find_unused_parameters=False,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=cuda,
        dataloader_num_workers=_LOADERS if cuda else 0,
        remove_unused_columns=False,
    )
    n_devices = arguments.world_size * max(1, arguments.n_gpu)
    if recipe.batch % n_devices:
        raise BadRecipe(f"batch = {recipe.batch} rows cannot be shared out to {n_devices} devices: make it a multiple")
    arguments.per_device_train_batch_size = recipe.batch // n_devices
    return arguments


def _torch_seed(seed: str) -> int:
    """Return 31 bits of a seed, as torch wants it."""
    return Stream("torch", seed).below(1 << 31)
