"""A decoder of transformers, opened for probing: its blocks, its states at chosen tokens, its twin with random weights.

The states of layer 0 are what the first block reads; those of layer L are what block L writes to the residual stream,
before any final norm. Hooks on the blocks keep the wanted tokens alone, so memory does not grow with the text.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from fathom.harness.engines.decoder_model import register_decoder
from fathom.harness.engines.model_config import context_of
from fathom.harness.errors import BadInput, BadStates, DiskFull, NotProbeable
from fathom.harness.settings import quiet_transformers

Floats = NDArray[np.float32]

_TOKENS = 4_096
"""Tokens of a batch, with padding, at most."""
_ROWS = 256
"""Texts of a batch at most."""
_MAPPED_FROM = 1 << 28
"""Bytes of states from which they lie in a file."""
_HINT = "give a decoder-only language model that transformers loads, as Llama, Qwen, GPT-2 or Mamba"


@dataclass(frozen=True, slots=True)
class TokenRow:
    """The tokens of a text, and the places in it whose states are wanted, in increasing order."""

    ids: Sequence[int]
    places: Sequence[int]


@dataclass(frozen=True, slots=True)
class NextToken:
    """What the model expects after a token: entropy and logarithm of the largest probability, and their margin."""

    entropy: float
    top: float
    margin: float


class ProbedModel:
    """A loaded decoder and its tokenizer; `path` is its folder."""

    def __init__(self, path: Path, model: Any, tokenizer: Any) -> None:  # of transformers, which ships few types
        """Take a loaded model.

        Raises:
            NotProbeable: it has no blocks that can be read, or is no decoder.
        """
        self.path, self.model, self.tokenizer = path, model.eval(), tokenizer
        self.device = model.device
        self.context = context_of(model.config)
        self.blocks = find_blocks(model)
        self._check_decoder()

    @property
    def n_layers(self) -> int:
        """Number of blocks; layers are counted from 0, the input of the first one."""
        return len(self.blocks)

    @property
    def width(self) -> int:
        """Size of a state."""
        return int(self.model.config.get_text_config().hidden_size)

    @property
    def dtype(self) -> str:
        """Number format of the weights."""
        return str(self.model.dtype).removeprefix("torch.")

    def random_twin(self, seed: int) -> "ProbedModel":
        """Return a model of the same shape with fresh random weights, as before training."""
        config = AutoConfig.from_pretrained(self.path)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: Any = AutoModelForCausalLM.from_config(config, dtype=self.model.dtype)  # type: ignore[no-untyped-call]  # of transformers
        return ProbedModel(self.path, model.to(self.device), self.tokenizer)

    def embed(self, texts: Sequence[str]) -> Floats:
        """Return the mean input embedding of the tokens of each text, as it stands after a blank: [text, width]."""
        words = self.model.get_input_embeddings().weight
        found = []
        for ids in self.tokenizer([f" {text}" for text in texts], add_special_tokens=False)["input_ids"]:
            kept = ids or [0]
            found.append(words[torch.tensor(kept, device=words.device)].float().mean(0).detach().cpu().numpy())
        return np.stack(found).astype(np.float32)

    @torch.inference_mode()
    def read_states(self, rows: Sequence[TokenRow], layers: Sequence[int], folder: Path) -> Floats:
        """Return the states at all places of all rows, in their order: [layer, place, width].

        Large arrays lie in a file of `folder`, which is deleted with the array's last use on the user's side.

        Raises:
            BadStates: a state is not finite.
            DiskFull: there is no room for the file.
        """
        starts = np.cumsum([0, *[len(row.places) for row in rows]])
        kept = _allocate((len(layers), int(starts[-1]), self.width), folder)
        with self._watch(layers) as watched:
            for batch in _batches(rows):
                ids, mask = self._pad([rows[at].ids for at in batch])
                at_row = torch.tensor([i for i, at in enumerate(batch) for _ in rows[at].places], device=self.device)
                at_token = torch.tensor([p for at in batch for p in rows[at].places], device=self.device)
                watched.wanted = at_row, at_token
                self.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
                where = np.concatenate([np.arange(starts[at], starts[at + 1]) for at in batch])
                for position, layer in enumerate(layers):
                    kept[position, where] = watched.states[layer]
        for position, layer in enumerate(layers):
            if not np.isfinite(kept[position]).all():
                raise BadStates(
                    f"states of layer {layer} are no numbers in {self.dtype}: its weights are broken, or its dtype is "
                    "too narrow (try --dtype float32)"
                )
        return kept

    @torch.inference_mode()
    def read_next(self, rows: Sequence[TokenRow]) -> list[NextToken]:
        """Return what the model expects after each place of each row, in their order.

        Logits are those of the output embedding alone: scales and caps that some models add leave their order as it is.
        """
        found: dict[int, list[NextToken]] = {}
        head = self.model.get_output_embeddings()
        for batch in _batches(rows):
            ids, mask = self._pad([rows[at].ids for at in batch])
            last = self.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            for row, at in enumerate(batch):
                logits = head(last[row, torch.tensor(list(rows[at].places), dtype=torch.long, device=self.device)])
                shares = logits.float().log_softmax(-1)
                entropy = -(shares.exp() * shares).sum(-1)
                top = shares.topk(2, -1).values
                found[at] = [
                    NextToken(float(e), float(a), float(a - b))
                    for e, (a, b) in zip(entropy.tolist(), top.tolist(), strict=True)
                ]
        return [one for at in range(len(rows)) for one in found[at]]

    @torch.inference_mode()
    def next_tokens(self, texts: Sequence[Sequence[int]]) -> list[int]:
        """Return the most likely next token of each text, read in one batch."""
        ids, mask = self._pad(texts)
        last = self.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        at = torch.tensor([len(text) - 1 for text in texts], device=self.device)
        logits = self.model.get_output_embeddings()(last[torch.arange(len(texts), device=self.device), at])
        return [int(token) for token in logits.argmax(-1)]

    def _pad(self, texts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Pad on the right, which no token of a decoder sees."""
        width = max(map(len, texts))
        ids = torch.zeros(len(texts), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for at, one in enumerate(texts):
            ids[at, : len(one)] = torch.tensor(list(one))
            mask[at, : len(one)] = 1
        return ids.to(self.device), mask.to(self.device)

    @contextmanager
    def _watch(self, layers: Sequence[int]) -> Iterator["_Watched"]:
        watched, hooks = _Watched(), []
        for layer in layers:
            if layer == 0:
                hook = self.blocks[0].register_forward_pre_hook(watched.before, with_kwargs=True)
            else:
                hook = self.blocks[layer - 1].register_forward_hook(watched.after(layer))
            hooks.append(hook)
        try:
            yield watched
        finally:
            for hook in hooks:
                hook.remove()

    @torch.inference_mode()
    def _check_decoder(self) -> None:
        """Check that no state sees a later token, by exchanging the last one."""
        n_ids = int(self.model.get_input_embeddings().weight.shape[0])
        ids = torch.arange(6, device=self.device).repeat(2, 1) % n_ids
        ids[1, -1] = 7 % n_ids
        with self._watch([self.n_layers]) as watched:
            rows = torch.tensor([0, 1], device=self.device)
            watched.wanted = rows, torch.tensor([4, 4], device=self.device)
            self.model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
        one, other = watched.states[self.n_layers]
        least = (1e-4 if self.model.dtype == torch.float32 else 1e-2) * (np.abs(one).max() + 1e-6)  # rounding is below
        if np.isfinite(one).all() and np.abs(one - other).max() > least:
            raise NotProbeable(f"{self.path.name} is an encoder: its states see later tokens; {_HINT}")


class _Watched:
    """What hooks have kept of the last batch: states by layer, [place, width]."""

    def __init__(self) -> None:
        self.states: dict[int, Floats] = {}
        self.wanted: tuple[torch.Tensor, torch.Tensor] | None = None

    def before(self, _block: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._keep(0, args[0] if args else kwargs["hidden_states"])

    def after(self, layer: int) -> Any:  # a hook of torch
        def keep(_block: Any, _args: Any, output: Any) -> None:
            self._keep(layer, output[0] if isinstance(output, tuple) else output)

        return keep

    def _keep(self, layer: int, states: torch.Tensor) -> None:
        if self.wanted is None or states.ndim != 3:
            raise NotProbeable(f"a block gives no states of the form text x token x width; {_HINT}")
        self.states[layer] = states[self.wanted].float().cpu().numpy()


def find_blocks(model: Any) -> Sequence[Any]:
    """Return the blocks of a decoder: its outermost list of modules with as many entries as its config has layers.

    Raises:
        NotProbeable: there is none.
    """
    config = model.config.get_text_config()
    n_layers = getattr(config, "num_hidden_layers", None)
    found: list[Any] = next(
        (list(part) for part in model.modules() if isinstance(part, torch.nn.ModuleList) and len(part) == n_layers),
        [],
    )
    if not n_layers or not found or not hasattr(config, "hidden_size"):
        raise NotProbeable(f"{type(model).__name__} has no blocks whose states can be read; {_HINT}")
    return found


def open_model(path: Path, dtype: str = "auto", device: str | None = None) -> ProbedModel:
    """Load a model folder that was checked; on a CPU in float32 unless a dtype is given.

    Raises:
        NotProbeable: no decoder, no hidden states, or a tokenizer that does not tell where its tokens stand.
    """
    quiet_transformers()
    register_decoder()
    _check_config(path)
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    kept: Any = torch.float32 if device == "cpu" else "auto"
    if dtype != "auto":
        kept = getattr(torch, dtype)
    tokenizer: Any = AutoTokenizer.from_pretrained(path)
    if not tokenizer.is_fast:
        raise NotProbeable(
            f"the tokenizer of {path.name} does not tell where tokens stand (no offsets): a tokenizer.json is needed"
        )
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=kept)
    except (ValueError, KeyError) as error:
        raise NotProbeable(f"transformers loads {path.name} as no decoder ({_first_line(error)}); {_HINT}") from error
    return ProbedModel(path, model.to(device), tokenizer)


def _check_config(path: Path) -> None:
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    kind = str(config.get("model_type"))
    if kind not in CONFIG_MAPPING:
        why = "needs code of its repository, which is never run" if "auto_map" in config else "is of an unknown type"
        raise NotProbeable(f"{path.name} {why} (model_type {kind!r}); {_HINT}")
    if config.get("is_encoder_decoder") or any("MaskedLM" in str(one) for one in config.get("architectures") or ()):
        raise NotProbeable(f"{path.name} is an encoder or has one ({kind}): its states see later tokens; {_HINT}")


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:150]


def _batches(rows: Sequence[TokenRow]) -> Iterator[list[int]]:
    """Yield indices of rows of similar length that fit a batch, the shortest first."""
    batch: list[int] = []
    for at in sorted(range(len(rows)), key=lambda one: len(rows[one].ids)):
        if batch and (len(batch) == _ROWS or (len(batch) + 1) * len(rows[at].ids) > _TOKENS):
            yield batch
            batch = []
        batch.append(at)
    if batch:
        yield batch


def _allocate(shape: tuple[int, int, int], folder: Path) -> Floats:
    n_bytes = 4 * shape[0] * shape[1] * shape[2]
    if n_bytes < _MAPPED_FROM:
        return np.empty(shape, np.float32)
    from shutil import disk_usage
    from tempfile import NamedTemporaryFile

    free = disk_usage(folder).free
    if free < n_bytes + (1 << 26):
        raise DiskFull(
            f"the states need {n_bytes >> 20} MB in {folder}, which has {free >> 20} MB: choose fewer --layers or --n, "
            "or set TMPDIR to a larger disk"
        )
    with NamedTemporaryFile(dir=folder, prefix="fathom-states-") as file:  # unlinked at once: no kill leaves it behind
        return np.memmap(file, np.float32, "w+", shape=shape)


def layers_of(text: str | None, n_layers: int) -> tuple[int, ...]:
    """Return the layers that a text names: all, "0,2,4", "every:2" (with the last one), or "last".

    Raises:
        BadInput: no such layer, or not such a text.
    """
    if text in (None, "", "all"):
        return tuple(range(n_layers + 1))
    words = str(text)
    if words.startswith("every:") and words[6:].isdecimal() and int(words[6:]):
        return tuple(dict.fromkeys([*range(0, n_layers + 1, int(words[6:])), n_layers]))
    named = [str(n_layers) if word.strip() == "last" else word.strip() for word in words.split(",")]
    if not all(word.isdecimal() for word in named):
        raise BadInput(f"--layers {words!r}: give numbers as 0,2,4, or every:2, or all")
    found = tuple(sorted({int(word) for word in named}))
    if found[-1] > n_layers:
        raise BadInput(
            f"--layers {words}: the model has layers 0 (its embeddings) to {n_layers}, and no layer {found[-1]}"
        )
    return found
