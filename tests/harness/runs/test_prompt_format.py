import json

import pytest

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.engines.chat_template import card_shots
from fathom.harness.engines.model import ModelSource, find_model
from fathom.harness.runs.lm_eval_adapter import cell_config
from fathom.harness.runs.plan import hints_of
from fathom.harness.runs.prompt_format import ModelHints, StatedFormat, choose_prompt_format
from fathom.harness.runs.requests import make_request, plain_prompt
from fathom.harness.runs.run_settings import PromptSettings, RunSettings
from fathom.tasks.base import Cell, make_instance
from fathom.tasks.registry import find_family
from fathom.tasks.suites import SuiteCell

CHAT, BASE, CARD, SERVED = ModelHints(True), ModelHints(False), ModelHints(False, 0), ModelHints(None)


@pytest.mark.parametrize(
    ("hints", "stated", "chosen"),
    [
        (CHAT, (None, None), (True, 0)), (BASE, (None, None), (False, 3)), (CARD, (None, None), (False, 0)),
        (SERVED, (None, None), (True, 0)), (CHAT, (False, None), (False, 3)), (CHAT, (None, 2), (True, 2)),
        (CHAT, (False, 0), (False, 0)), (BASE, (None, 5), (False, 5)), (CARD, (None, 1), (False, 1)),
        (SERVED, (False, None), (False, 3)),
    ],
)  # fmt: skip
def test_the_files_choose_what_the_user_does_not_state(hints, stated, chosen):
    prompt_format = choose_prompt_format(hints, StatedFormat(*stated))
    assert (prompt_format.chat, prompt_format.n_shots) == chosen


def test_one_line_says_what_was_chosen_and_why():
    assert choose_prompt_format(CHAT, StatedFormat()).text() == (
        "asked in a chat, zero-shot: the model has a chat template; --no-chat and --shots change it"
    )
    assert (
        choose_prompt_format(BASE, StatedFormat())
        .text()
        .startswith("asked in plain text, 3 shots: the model has no chat")
    )
    assert "its card asks for 0 shots" in choose_prompt_format(CARD, StatedFormat()).text()
    assert choose_prompt_format(CHAT, StatedFormat(False, 1)).text() == (
        "asked in plain text, 1 shot: --no-chat and --shots 1 given"
    )


def test_a_card_states_its_shots_in_its_metadata_only(tmp_path):
    card = tmp_path / "README.md"
    for text, shots in (
        ("---\nlicense: mit\nfathom_shots: 2\n---\n# A\n", 2), ("---\na: 1\n---\nfathom_shots: 2\n", None),
        ("fathom_shots: 2\n", None), ("---\nfathom_shots: many\n---\n", None), ("", None),
    ):  # fmt: skip
        card.write_text(text)
        assert card_shots(tmp_path) == shots
    assert card_shots(tmp_path / "nowhere") is None


def test_reference_models_say_that_they_are_asked_zero_shot_in_plain_text():
    assert hints_of(find_model("reference/pebble"), "vllm") == CARD
    assert hints_of(ModelSource("org/served", None, "x"), "openai") == SERVED


def test_a_worker_writes_the_prompt_that_lm_eval_writes_after_shots():
    cell, family = SuiteCell("mano", 1, "p23l2", "symbol", "cot", 2), find_family("mano")
    item = make_instance(family, "p23l2", "symbol", 7, 0)
    request = make_request(cell, item, "d", PromptSettings(2))
    assert request.prompt == plain_prompt(cell, item, 2)
    assert request.prompt.count("Answer: ") == 2 + plain_prompt(cell, item, 0).count("Answer: ") * 3
    assert request.prompt.endswith(plain_prompt(cell, item, 0))


def test_memory_is_asked_for_without_demonstrations_which_would_tell_it():
    recall = Cell("recall", "extract-300", "story", "trained")
    assert "num_fewshot" not in cell_config(recall, RunSettings(PromptSettings(3)))
    assert cell_config(Cell("depo", "n8k1", "symbol", "direct"), RunSettings(PromptSettings(3)))["num_fewshot"] == 3


def test_a_run_without_flags_says_and_keeps_how_it_asked(fathom, tmp_path):
    words = ["--engine", "hf", "--families", "depo", "--levels", "n4k1", "--style", "direct", "--channel", "symbol"]
    done = fathom("run", "--model", "reference/pebble", *words, "--n", 2, "--db", tmp_path / "a.db")
    assert done.returncode == 0, done.stderr
    assert "asked in plain text, zero-shot: the model has no chat template; its card asks for 0 shots" in done.stderr
    db = open_database(str(tmp_path / "a.db"), create=False)
    (one,) = read.list_runs(db)
    manifest = read.get_run(db, one.run).manifest.stored
    db.dispose()
    assert one.prompt_format == "plain/0"
    assert manifest["context"]["prompt_format"]["stated"] == []
    assert json.dumps(manifest["context"]["prompt_format"]["why"])
