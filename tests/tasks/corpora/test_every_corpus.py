"""Rules that every corpus keeps, in every form."""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fathom.tasks.base import channels_of, make_instance
from fathom.tasks.corpora.base import make_block, read_options
from fathom.tasks.corpora.registry import all_corpora, find_corpus
from fathom.tasks.errors import BadOption, UnknownCorpus, UnknownLevel
from fathom.tasks.registry import find_family
from fathom.tasks.tokens import TokenBlock

GOLDEN = Path(__file__).parents[2] / "golden"
SPEC = importlib.util.spec_from_file_location("golden_write", GOLDEN / "write.py")
write = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(write)

FORMS = [(corpus.name, form) for corpus in all_corpora().values() for form in corpus.options["form"].choices]
every_form = pytest.mark.parametrize(("name", "form"), FORMS)

DIGEST = """
import hashlib
from tasks.corpora.base import make_block, read_options
from tasks.corpora.registry import all_corpora
for corpus in all_corpora().values():
    for form in corpus.options["form"].choices:
        options = read_options(corpus, {"form": form})
        print(corpus.name, form, hashlib.sha256(repr(make_block(corpus, options, 7, 3)).encode()).hexdigest())
"""


def block(name, number=0, seed=7, **given):
    corpus = find_corpus(name)
    return make_block(corpus, read_options(corpus, given), seed, number)


def texts(made):
    return [pair for pairs in made.documents for pair in pairs]


def test_blocks_are_the_same_in_another_process_whatever_the_hash_seed():
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    done = subprocess.run([sys.executable, "-c", DIGEST], env=environment, capture_output=True, text=True, check=True)
    here = [
        f"{name} {form} {hashlib.sha256(repr(block(name, 3, form=form)).encode()).hexdigest()}" for name, form in FORMS
    ]
    assert done.stdout.splitlines() == here


@every_form
def test_blocks_and_seeds_differ(name, form):
    made = [block(name, number, seed, form=form) for number, seed in ((0, 7), (1, 7), (0, 8))]
    if isinstance(made[0], TokenBlock):
        assert len({one.ids for one in made}) == 3
    else:
        first, *others = [set(texts(one)) for one in made]
        assert all(len(first & other) < len(first) / 4 for other in others)  # one person's text may come again


@every_form
def test_a_block_is_well_formed(name, form):
    corpus = find_corpus(name)
    vocabulary = corpus.vocabulary(read_options(corpus, {"form": form}))
    made = block(name, form=form)
    if not isinstance(made, TokenBlock):
        assert vocabulary == ()
        assert len(made.documents) == 64
        assert all(completion for _, completion in texts(made))
        return
    ids = list(memoryview(made.ids).cast("H"))
    assert len(made.ends) == 64
    assert made.ends[-1] == len(ids)
    assert [at + 1 for at, one in enumerate(ids) if one == 0] == list(made.ends)
    assert max(ids) < len(vocabulary) == len(set(vocabulary))
    assert not any(len(token.split()) != 1 for token in vocabulary)
    assert made.learnt is None or (len(made.learnt) == len(ids) and set(made.learnt) == {0, 1})


@pytest.mark.parametrize("name", list(all_corpora()))
def test_a_lesson_never_shows_a_question_of_an_evaluation(name):
    family = find_family(name)
    level = next(level for level in family.levels.values() if level.ladder == "main" and level.space > 1e9)
    options = {"form": "prompt", "levels": level.name, "channels": channels_of(family, level)[0]}
    shown = {prompt for number in range(2) for prompt, _ in texts(block(name, number, **options))}
    asked = [make_instance(family, level.name, options["channels"], 7, index).question for index in range(200)]
    assert not any(prompt.startswith(question) for prompt in shown for question in asked)


@every_form
def test_settings_of_another_form_are_refused(name, form):
    corpus = find_corpus(name)
    if form == "prompt":
        own = [option for option in corpus.options if option not in ("form", "levels", "channels", "styles")]
        given = {option: _other(corpus.options[option]) for option in own[:1]}
    else:
        given = {"styles": "cot"}
    if given:
        with pytest.raises(BadOption, match="does nothing in the form"):
            read_options(corpus, {"form": form, **given})


def _other(option):
    if isinstance(option.default, str):
        return next(choice for choice in option.choices if choice != option.default)
    return option.low if option.low != option.default else option.high


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("depo", {"n": 2}),
        ("depo", {"names": "huge"}),
        ("depo", {"rings": 3}),
        ("depo", {"k": 1.5}),
        ("depo", {"k": float("nan")}),
        ("depo", {"k": 1 << 20_000}),
        ("depo", {"names": 1 << 20_000}),
        ("brevo", {"names": "multi", "n": 100}),
        ("mano", {"modulus": 1}),
        ("bios", {"population": 0}),
        ("bios", {"population": 10**12}),
        ("bios", {"reversed": 1, "fullname": 1}),
        ("bios", {"hint": 1}),
        ("bios", {"qa": 0.5, "tasks": "guess"}),
        ("bios", {"qa": 0.5, "population": 3}),
        ("depo", {"form": "prompt", "styles": ""}),
        ("lano", {"form": "prompt", "styles": "free"}),
        ("depo", {"form": "prompt", "channels": "story smoke"}),
    ],
)
def test_impossible_settings_are_refused(name, given):
    with pytest.raises(BadOption):
        read_options(find_corpus(name), given)


def test_unknown_names_are_refused():
    with pytest.raises(UnknownCorpus, match="known: bios"):
        find_corpus("bible")
    with pytest.raises(UnknownLevel):
        read_options(find_corpus("depo"), {"form": "prompt", "levels": "n8k2 n9k9"})


def test_blocks_do_not_change_without_a_raised_version():
    pinned = json.loads((GOLDEN / "corpora.json").read_text(encoding="utf-8"))
    assert write.digests_of_corpora() == pinned, (
        "text changed: raise the corpus's version, then run tests/golden/write.py corpora"
    )
