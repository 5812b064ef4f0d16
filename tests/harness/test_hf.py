import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast, set_seed

from harness.engines.base import Request, Sampling
from harness.engines.hf import HfEngine

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
