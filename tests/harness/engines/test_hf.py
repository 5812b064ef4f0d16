import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, set_seed

from fathom.harness.engines.base import Request, Sampling
from fathom.harness.engines.hf import HfEngine, load_hf
from fathom.harness.engines.model import REFERENCE
from fathom.tasks.base import make_instance, pose
from fathom.tasks.registry import find_family

CONTEXT = 24


def small_engine(batch_size):
    """A GPT-2 without training whose words are numbers: it never ends a text."""
    words = {"<end>": 0, **{str(number): number for number in range(1, 40)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    set_seed(7)
    config = GPT2Config(
        vocab_size=len(words), n_positions=CONTEXT, n_embd=16, n_layer=1, n_head=2, bos_token_id=None, eos_token_id=None
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<end>", padding_side="left")
    return HfEngine(GPT2LMHeadModel(config).to(torch.float32), fast, batch_size)


def asked(length, budget):
    return Request(f"{length}-{budget}", "", " ".join(str(1 + at % 39) for at in range(length)), Sampling(budget))


def answers(batch_size):
    requests = [asked(length, budget) for length in (3, 12, 20, 23) for budget in (2, 15, 40)]
    done = [one for batch in small_engine(batch_size).stream(iter(requests)) for one in batch]
    return {one.key: (one.text, one.finish_reason, one.completion_tokens) for one in done}


def test_a_short_prompts_budget_leads_no_other_row_past_the_last_learned_position():
    together = answers(16)
    assert together == answers(1)
    for key, (_, reason, tokens) in together.items():
        length, budget = map(int, key.split("-"))
        assert (reason, tokens) == ("length", min(budget, CONTEXT - length))


def test_what_fills_a_batch_up_after_a_stop_text_is_not_counted():
    family = find_family("depo")
    items = [make_instance(family, level, "symbol", 5, at) for level in ("n8k1", "n8k6") for at in range(4)]
    requests = [Request(one.id, "", pose(family, one, "cot"), Sampling(40, ("\n",))) for one in items]
    counts = []
    for size in (1, len(requests)):
        engine = load_hf(REFERENCE / "pebble", batch_size=size)
        done = sorted((one for batch in engine.stream(iter(requests)) for one in batch), key=lambda one: one.key)
        assert {one.finish_reason for one in done} == {"stop"}
        counts.append([(one.key, one.text, one.completion_tokens) for one in done])
    assert counts[0] == counts[1]
    assert len({tokens for _, _, tokens in counts[0]}) > 1
