"""Chat and thinking models, made of pebble: recognised, asked, read, and refused where they cannot be asked."""

import json
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from fathom.harness.db import read
from fathom.harness.db.engine import open_database
from fathom.harness.engines.base import EngineSettings, Request, Sampling, Turn
from fathom.harness.engines.chat_template import chat_template_of, tokenizer_digest
from fathom.harness.engines.hf import load_hf
from fathom.harness.engines.model import ModelSource, find_model, inspect_model
from fathom.harness.errors import BadInput, RunChanged
from fathom.harness.records import Manifest, SampleFilter
from fathom.harness.reports.describe import cut_text, settings_text, stored_settings_text
from fathom.harness.runs.evaluate import evaluate
from fathom.harness.runs.manifest import make_manifest
from fathom.harness.runs.plan import Plan, add_thinking
from fathom.harness.runs.run_settings import PromptSettings, RunSettings, SamplingSettings, Thinking, settings_of
from fathom.server.cli.main import build
from fathom.tasks.suites import Selection, open_suite
from tests.thinker import ECHO, make_chatter, make_thinker

CHAT = PromptSettings(chat=True)
BEGINS_ANSWER = "{% if messages[-1].content[-1:] != '\\n' %}{{ '\\nAnswer:' }}{% endif %}"
"""In plain text, the prompt of a short answer ends with the beginning of its line, and in a chat it does not."""
STUCK = ECHO + "<think>\n"
ROLES = "{% for message in messages %}<{{ message.role }}>{{ message.content }}{% endfor %}"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders of models by name: one that echoes, one that thinks, one that never ends a thought."""
    base = tmp_path_factory.mktemp("models")
    return {
        "chatter": make_chatter(base / "chatter"),
        "thinker": make_thinker(base / "thinker"),
        "stuck": make_chatter(base / "stuck", STUCK),
    }


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    return open_database(str(tmp_path_factory.mktemp("runs") / "runs.db"), create=True)


def plan(path, prompt, sampling=SamplingSettings(), **selection):
    chosen = Selection(**{"families": ("depo",), "levels": ("n8k2",), "n": 12, **selection})
    model = find_model(str(path))
    settings = RunSettings(prompt, sampling, EngineSettings("hf"))
    return Plan(model, open_suite("quick", 3, chosen), add_thinking(model, settings))


def thinking_of(model, prompt, given=None):
    return add_thinking(model, RunSettings(prompt, SamplingSettings(thinking=given))).sampling.thinking


def samples(db, run):
    return read.get_samples(db, read.get_run(db, run), SampleFilter(), limit=999).samples


@pytest.fixture(scope="module")
def thought(models, db):
    """A run of the model that thinks, in all styles."""
    return evaluate(plan(models["thinker"], CHAT, styles=("direct", "cot", "choice")), db).run


@pytest.fixture(scope="module")
def walked(db):
    """The plain run of pebble in which it walks as the thinker thinks."""
    from fathom.harness.engines.model import REFERENCE

    return evaluate(plan(REFERENCE / "pebble", PromptSettings(), styles=("direct", "cot")), db).run


def test_a_thought_is_kept_and_the_answer_is_read_behind_it(thought, walked, db):
    plain = {one.item: one for one in samples(db, walked) if one.style == "cot"}
    told = [one for one in samples(db, thought) if one.style != "choice"]
    assert len(told) == 24
    for one in told:
        same = plain[one.item]
        assert one.completion.replace("</think>", "\nAnswer:") == same.completion
        assert (one.correct, one.parsed) == (same.correct, same.parsed)
    assert sum(one.correct for one in told) >= 20


def test_a_manifest_says_how_a_model_thinks_and_what_it_read_first(thought, walked, models, db):
    detail, plain = read.get_run(db, thought), read.get_run(db, walked)
    decisive, first = detail.manifest.stored["decisive"], detail.manifest.stored["first_prompt"]
    stated = {"start": "<think>", "end": "</think>", "budget": 16384, "opened": True}
    assert decisive["sampling"]["thinking"] == stated
    assert decisive["chat_template"] == detail.manifest.stored["context"]["chat_template"]
    assert detail.manifest.stored["context"]["tokenizer"] == tokenizer_digest(models["thinker"])
    assert first["text"].endswith("<think>")
    assert plain.manifest.stored["first_prompt"]["token_ids"]
    assert set(plain.manifest.stored["decisive"]["sampling"]) == {
        "temperature",
        "temperature_free",
        "shots",
        "chat_template",
    }
    assert "chat_template" not in plain.manifest.stored["decisive"]
    said = stored_settings_text(detail.manifest, detail.suite.cells)
    assert "in a chat" in said
    assert "at most 96 (direct) or 440 (cot) tokens per answer" in said
    assert "the template opens, <think> to </think>, of at most 16,384 tokens" in said


def test_a_run_that_thinks_goes_on_only_with_its_own_template(thought, models, db):
    settings = settings_of(read.get_run(db, thought).manifest)
    again = plan(models["thinker"], CHAT, settings.sampling, styles=("direct", "cot", "choice"))
    again = Plan(again.model, again.suite, settings, thought)
    assert evaluate(again, db).n_generated == 0
    other = ModelSource(again.model.name, models["chatter"], again.model.digest)
    with pytest.raises(RunChanged, match="another chat_template"):
        evaluate(Plan(other, again.suite, settings, thought), db)


def test_a_thought_without_an_end_is_cut_off_whatever_it_says(models, db):
    run = evaluate(plan(models["stuck"], CHAT, styles=("direct", "cot"), n=4), db).run
    detail = read.get_run(db, run)
    for cell in detail.cells:
        assert (cell.k, cell.labels) == (0, {"cut_off": 4})
    assert all(one.parsed is None for one in samples(db, run))
    assert any(one.completion for one in samples(db, run))


def test_a_budget_ends_a_thought_and_the_run_says_so(models, db):
    decoding = SamplingSettings(budgets={"cot": 1}, thinking=Thinking("", "", 2))
    run = evaluate(plan(models["thinker"], CHAT, decoding, styles=("cot",), levels=("n8k3",)), db).run
    (cell,) = read.get_run(db, run).cells
    assert cell.labels == {"cut_off": 12}
    assert {(one.finish_reason, one.completion_tokens) for one in samples(db, run)} == {("length", 3)}
    assert cell.found.n_cut == 12
    assert cut_text([cell]).startswith("cut off, as the budget ran out: cot 12 ")
    assert cut_text([]) == ""


def test_a_template_that_begins_the_answer_line_gives_the_answers_of_plain_text(walked, db, tmp_path):
    model = make_chatter(tmp_path / "answers", ECHO + BEGINS_ANSWER)
    run = evaluate(plan(model, CHAT, styles=("direct", "cot")), db).run
    plain = samples(db, walked)
    for one, same in zip(samples(db, run), plain, strict=True):
        assert (one.item, one.completion, one.prompt_tokens, one.label) == (
            same.item, same.completion, same.prompt_tokens, same.label,
        )  # fmt: skip


@pytest.fixture(scope="module")
def engine(models):
    return load_hf(models["chatter"])


@pytest.mark.parametrize("chat", [False, True])
def test_a_prompt_that_just_fits_is_asked_and_one_token_more_is_too_long(engine, chat):
    text = "Which code is 2 arrows after"
    turns = [Turn("user", ";" * 200), Turn("assistant", ";"), Turn("user", text)] if chat else []
    asked = Request("k", "", text, Sampling(50), (), tuple(turns))
    room = engine.context - len(engine.render(asked).token_ids)
    done = {}
    for more in (room - 1, room):
        last = Turn("user", ";" * more + text)
        one = Request(str(more), "", last.content, Sampling(50), (), (*turns[:-1], last) if chat else ())
        assert len(engine.render(one).token_ids) == engine.context - room + more
        ((done[more],),) = engine.stream(iter([one]))
    fits, over = done[room - 1], done[room]
    assert (fits.finish_reason, fits.prompt_tokens, fits.completion_tokens) == ("length", engine.context - 1, 1)
    assert (over.finish_reason, over.prompt_tokens, over.text) == ("too_long", engine.context, "")


def test_shots_that_do_not_fit_leave_nothing_asked(models, db):
    run = evaluate(plan(models["chatter"], PromptSettings(16, chat=True), styles=("cot", "choice"), n=2), db).run
    for cell in read.get_run(db, run).cells:
        assert cell.labels == {"too_long": 2}


def changed(folder, tmp_path, **config):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "chat_template.jinja").unlink()
    file = copy / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | config))
    return copy


NAMED = [{"name": "tool_use", "template": "t"}, {"name": "default", "template": ECHO}]


@pytest.mark.parametrize(
    ("stated", "template"),
    [({}, None), ({"chat_template": None}, None), ({"chat_template": ECHO}, ECHO), ({"chat_template": NAMED}, ECHO),
     ({"chat_template": NAMED[:1]}, None)],
)  # fmt: skip
def test_a_template_is_found_where_transformers_finds_it(models, tmp_path, stated, template):
    from transformers import AutoTokenizer

    copy = changed(models["chatter"], tmp_path, **stated)
    assert chat_template_of(copy) == template
    assert inspect_model(copy).kind == ("base" if template is None else "chat")
    model = ModelSource("org/copy", copy, "")
    if template is None:
        with pytest.raises(BadInput, match="org/copy has no chat template"):
            thinking_of(model, CHAT)
        return
    assert AutoTokenizer.from_pretrained(copy).get_chat_template() == template
    assert thinking_of(model, CHAT) is None


R1 = "{{ messages[0].content.split('</think>')[-1] }}<think>\n"
QWEN = "{{ messages[0].content }}{% if enable_thinking is false %}<think></think>{% endif %}{# <think> </think> #}"
MISTRAL = "{{ messages[0].content }}{# [THINK] [/THINK] #}"


@pytest.mark.parametrize(
    ("template", "options", "thinking"),
    [
        (ECHO, {}, None),
        (STUCK, {}, Thinking(opened=True)),
        (R1, {}, Thinking(opened=True)),
        (QWEN, {}, Thinking(opened=False)),
        (QWEN, {"enable_thinking": False}, None),
        (QWEN + "<think></think>", {}, None),
        (MISTRAL, {}, Thinking("[THINK]", "[/THINK]")),
    ],
)
def test_models_that_think_are_known_by_their_templates(models, tmp_path, template, options, thinking):
    model = ModelSource("org/copy", changed(models["chatter"], tmp_path, chat_template=template), "")
    found = thinking_of(model, PromptSettings(chat=True, template_options=options))
    assert found == thinking
    assert thinking_of(model, PromptSettings()) is None
    given = thinking_of(model, CHAT, Thinking("", "", 7))
    assert (given.budget, given.marks) == (7, thinking.marks if thinking else ("<think>", "</think>"))


def test_the_special_tokens_of_a_model_tell_that_it_thinks(models, tmp_path):
    copy = changed(models["thinker"], tmp_path, chat_template=ECHO)
    assert thinking_of(ModelSource("org/copy", copy, ""), CHAT) == Thinking(opened=False)


def test_of_a_model_that_is_elsewhere_only_what_is_given_counts():
    model = ModelSource("served", None, "")
    assert thinking_of(model, CHAT) is None
    assert thinking_of(model, CHAT, Thinking("", "", 7)) == Thinking(budget=7, opened=None)


def test_a_chat_that_the_template_refuses_is_refused_before_anything_is_loaded(models, tmp_path):
    strict = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + ROLES
    copy = changed(models["chatter"], tmp_path, chat_template=strict + "{% endfor %}")
    with pytest.raises(BadInput, match=r"refuses turns of system, user .no system.: leave out --system"):
        thinking_of(ModelSource("org/copy", copy, ""), PromptSettings(chat=True, system="Be brief."))
    deaf = changed(models["stuck"], tmp_path / "2", chat_template="{{ messages[0].role }}")
    with pytest.raises(BadInput, match="leaves the question out"):
        thinking_of(ModelSource("org/copy", deaf, ""), CHAT)


@pytest.mark.parametrize(
    ("budgets", "said"),
    [({"choice": 4}, "nothing is generated"), ({"long": 4}, "known: direct, cot, free"), ({"cot": 0}, "as in cot=2048"),
     ({"cot": "many"}, "as in cot=2048"), ({"cot": True}, "as in cot=2048"), ({"cot": 1.5}, "as in cot=2048")],
)  # fmt: skip
def test_budgets_are_whole_numbers_for_styles_that_generate(budgets, said):
    with pytest.raises(BadInput, match=said):
        SamplingSettings(budgets=budgets).check(())


@pytest.mark.parametrize(
    ("prompt", "sampling"),
    [
        (PromptSettings(), SamplingSettings()),
        (PromptSettings(2, True, "Be brief.", "text", {"a": [1]}), SamplingSettings(budgets={"cot": 9})),
        (CHAT, SamplingSettings(4, 0.7, {}, Thinking("[T]", "[/T]", 5, None))),
    ],
)
def test_settings_are_read_again_from_their_json(prompt, sampling):
    engine = EngineSettings("vllm", "bfloat16", {"max_model_len": 512, "tensor_parallel_size": 2})
    settings = RunSettings(prompt, sampling, engine)
    assert RunSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings


def test_every_field_names_its_flag_and_every_flag_is_an_option_of_the_command():
    flags = {
        one.metadata["flag"] for part in (PromptSettings, SamplingSettings, EngineSettings) for one in fields(part)
    }
    (command,) = [one for one in get_command(build("run")).commands.values() if one.name == "run"]
    assert flags <= {word for one in command.params for word in one.opts}


def test_the_flags_name_what_differs_from_the_defaults():
    assert dict(RunSettings().flags()) == {"--engine": "vllm", "--chat": False, "--shots": 0}
    settings = RunSettings(PromptSettings(2, True), SamplingSettings(thinking=Thinking(budget=9)), EngineSettings("hf"))
    assert dict(settings.flags()) == {
        "--engine": "hf", "--shots": 2, "--chat": True, "--think-budget": 9, "--think-marks": ("<think>", "</think>"),
    }  # fmt: skip


def test_a_run_of_the_version_before_keeps_its_settings_and_its_digest():
    """`manifest-2026-10.json` was written before settings were one value."""
    kept = json.loads((Path(__file__).parent / "manifest-2026-10.json").read_text())
    for one in kept:
        manifest = Manifest.read(one["manifest"])
        settings = settings_of(manifest)
        assert manifest.digest() == one["digest"]
        stated, engine = settings.to_json(), one["manifest"]["decisive"]["engine"]
        assert stated["sampling"] == one["manifest"]["decisive"]["sampling"]
        assert (stated["engine"], stated["options"]) == (engine["name"], engine.get("options", {}))
        assert stated["placement"] == one["manifest"]["context"]["placement"]


@pytest.mark.parametrize(
    "stored", [{}, {"decisive": None, "context": 7}, {"decisive": {"engine": [], "sampling": "x"}}]
)
def test_a_manifest_that_lacks_something_or_holds_anything_is_read_with_defaults(stored):
    manifest = Manifest.read(stored)
    assert (manifest.decisive.engine.name, manifest.context.placement, manifest.engine_facts) == ("", {}, {})
    assert settings_of(manifest) is None


def test_a_plain_manifest_keeps_its_digest():
    suite = open_suite("quick", 3, Selection(levels=("n4k1",), n=1))
    model = ModelSource("reference/pebble", None, "x")
    plain = make_manifest(model, suite, RunSettings(engine=EngineSettings("oracle"))).stored["decisive"]
    assert list(plain) == ["model", "engine", "suite", "families", "sampling", "token_budgets", "lm_eval"]


def test_a_run_is_told_in_one_line():
    assert settings_text(RunSettings()) == "asked in plain text, zero-shot, greedy"
    shown = settings_text(
        RunSettings(PromptSettings(2, True, "Be brief.", template_options={"a": 1}), SamplingSettings(3, 0.5))
    )
    assert shown == ("asked in a chat, 2 shots as turns, system “Be brief.”, a=1, temperature 0.5, 3 answers an item")


@pytest.mark.parametrize(
    ("words", "said"),
    [(("--chat",), "has no chat template"), (("--budget", "cot=x"), "the budget of cot is 'x'"),
     (("--think-marks", "<think>"), "wants two marks"), (("--template-option", "a=1"), "it is asked in plain text")],
)  # fmt: skip
def test_the_command_refuses_what_cannot_be(tmp_path, words, said):
    done = CliRunner().invoke(build(), ["run", "--model", "reference/pebble", *words, "--db", str(tmp_path / "a.db")])
    assert isinstance(done.exception, BadInput)
    assert said in str(done.exception)
    assert not (tmp_path / "a.db").exists()
