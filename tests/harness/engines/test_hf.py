import threading
from dataclasses import replace
from functools import wraps

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import Gemma3Config, GPT2Config, GPT2LMHeadModel, MambaConfig, PreTrainedTokenizerFast, set_seed

from fathom.harness.engines.base import Request, Sampling
from fathom.harness.engines.hf import HfEngine, load_hf
from fathom.harness.engines.model import REFERENCE
from fathom.harness.engines.model_config import context_of
from fathom.tasks.base import make_instance, pose
from fathom.tasks.registry import find_family

CONTEXT = 24


def small_engine(batch_size, context=CONTEXT):
    """A GPT-2 without training whose words are numbers: it never ends a text, and names no token that would."""
    words = {"<end>": 0, **{str(number): number for number in range(1, 40)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    set_seed(7)
    config = GPT2Config(
        vocab_size=len(words), n_positions=context, n_embd=16, n_layer=1, n_head=2, bos_token_id=None, eos_token_id=None
    )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
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


def streamed(engine, requests):
    """Return the keys in the order in which they came, a list for each time, and the texts by key."""
    lists = [list(some) for some in engine.stream(iter(requests))]
    return [[one.key for one in some] for some in lists], {one.key: one.text for some in lists for one in some}


def test_an_answer_comes_when_it_ends_and_not_when_its_batch_does():
    requests = [asked(4, budget) for budget in (400, 2, 9)]
    order, texts = streamed(small_engine(16, 512), requests)
    # A reader that is slow may find two answers waiting; the last one is hundreds of tokens away.
    assert [key for some in order for key in some] == ["4-2", "4-9", "4-400"]
    assert order[-1] == ["4-400"]
    assert texts == streamed(small_engine(1, 512), requests)[1]


def test_small_budgets_come_before_large_ones_whatever_their_order():
    order, _ = streamed(small_engine(2, 512), [asked(3, 300), *(asked(length, 8) for length in range(4, 24))])
    assert order[-1] == ["3-300"]


def test_the_last_rows_of_a_batch_go_on_in_another_one():
    requests = [asked(4, 140), *(asked(length, 66) for length in range(5, 12)), asked(20, 150)]
    _, texts = streamed(small_engine(16, 512), requests)
    assert texts == streamed(small_engine(1, 512), requests)[1]


def test_a_batch_that_outgrows_its_room_is_split():
    requests = [asked(length, 90) for length in range(4, 8)]
    engine = small_engine(16, 512)
    engine._generation = replace(engine._generation, room=200)
    assert streamed(engine, requests)[1] == streamed(small_engine(1, 512), requests)[1]


def test_a_sampled_text_is_that_of_its_key_whatever_stands_beside_it():
    requests = [replace(one, sampling=Sampling(12, (), 1.5, 0.9)) for one in (asked(4, 1), asked(9, 2), asked(5, 3))]
    first, second = (streamed(small_engine(size), requests)[1] for size in (1, 8))
    assert first == second
    assert len(set(first.values())) == 3


def test_closing_the_stream_ends_the_generation():
    stream = small_engine(16, 4096).stream(iter([asked(3, 1), asked(3, 4000)]))
    assert [one.key for one in next(stream)] == ["3-1"]
    stream.close()
    assert not [one for one in threading.enumerate() if one.name == "fathom-generate"]


def test_the_context_is_found_in_a_nested_config():
    nested = Gemma3Config(text_config={"max_position_embeddings": 512}, vision_config={"num_hidden_layers": 1})
    assert context_of(nested) == 512
    assert context_of(GPT2Config(n_positions=77)) == 77
    assert context_of(MambaConfig()) == 1 << 20


def test_an_empty_prompt_needs_a_token_to_begin_with():
    (done,) = (one for some in small_engine(1).stream(iter([Request("empty", "", "", Sampling(2))])) for one in some)
    assert (done.finish_reason, done.error) == (
        "error", "the prompt is empty, and the tokenizer has no token that begins or ends texts",
    )  # fmt: skip


def test_what_fills_a_batch_up_after_a_stop_text_is_not_counted():
    family = find_family("depo")
    items = [make_instance(family, level, "symbol", 5, at) for level in ("n8k1", "n8k4") for at in range(4)]
    requests = [Request(one.id, "", pose(family, one, "cot"), Sampling(40, ("\n",))) for one in items]
    counts = []
    for size in (1, len(requests)):
        engine = load_hf(REFERENCE / "pebble", batch_size=size)
        done = sorted((one for batch in engine.stream(iter(requests)) for one in batch), key=lambda one: one.key)
        assert {one.finish_reason for one in done} == {"stop"}
        counts.append([(one.key, one.text, one.completion_tokens) for one in done])
    assert counts[0] == counts[1]
    assert len({tokens for _, _, tokens in counts[0]}) > 1


class SmallMemory(GPT2LMHeadModel):
    """A model on a device that holds three rows of a batch."""

    @wraps(GPT2LMHeadModel.forward)  # generate looks at its parameters
    def forward(self, input_ids=None, **more):
        self.rows.append(input_ids.shape[0])
        if input_ids.shape[0] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return super().forward(input_ids=input_ids, **more)


def test_a_batch_that_outgrows_the_memory_halves_all_later_ones_and_says_so_once(caplog):
    ample = small_engine(16, 512)
    small = HfEngine(SmallMemory(ample._model.config).eval(), ample._tokenizer, 16)
    small._model.load_state_dict(ample._model.state_dict())
    small._model.rows = []
    requests = [asked(4 + at % 5, 12) for at in range(16)] + [asked(9, 20 + at) for at in range(30)]
    requests = [replace(one, key=str(at)) for at, one in enumerate(requests)]
    _, texts = streamed(small, requests)
    assert texts == streamed(ample, requests)[1]
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory with 16 answers in a batch: they are halved until they fit; batch_size=8 begins there"
    ]
    too_large = [at for at, n in enumerate(small._model.rows) if n > 3]
    assert [small._model.rows[at] for at in too_large] == [16, 8, 4]
    assert too_large == [0, 1, 2]


def test_a_request_that_does_not_fit_alone_fails_alone(monkeypatch):
    engine = small_engine(4, 512)

    def forward(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(engine._model, "forward", forward)
    done = [one for some in engine.stream(iter([asked(3, 2), asked(4, 2)])) for one in some]
    assert {one.finish_reason for one in done} == {"error"}
    assert all("out of memory" in one.error for one in done)


def test_a_device_map_and_another_attention_give_the_same_texts():
    requests = [Request(str(at), "", f"{at} 7 3", Sampling(8)) for at in range(4)]
    usual = streamed(load_hf(REFERENCE / "pebble"), requests)[1]
    assert streamed(load_hf(REFERENCE / "pebble", device_map="cpu"), requests)[1] == usual
    eager = load_hf(REFERENCE / "pebble", attention="eager")
    assert eager._model.config._attn_implementation == "eager"
    assert streamed(eager, requests)[1] == usual
