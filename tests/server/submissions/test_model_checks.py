"""What keeps a model from being run is said at once, and told from the metadata alone."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import pytest

from fathom.server.submissions.architectures import ARCHITECTURES, TEXT, TEXT_AND_MORE
from fathom.server.submissions.model_checks import QUANTIZATIONS, RunChoice, check_model
from fathom.server.submissions.repository import File, Repository, WeightsHeader, is_model_id, is_revision

PEBBLE = Path(__file__).parents[3] / "harness" / "training" / "reference" / "pebble"


@pytest.fixture(scope="module")
def pebble():
    """The repository of the reference model."""
    contents = {file.name: file.read_bytes() for file in PEBBLE.iterdir()}
    weights = contents["model.safetensors"]
    n = int.from_bytes(weights[:8], "little")
    return Repository(
        "org/pebble", "0" * 40, tuple(File(name, len(content)) for name, content in contents.items()), "mit",
        texts={name: contents[name] for name in ("config.json", "tokenizer_config.json")},
        headers={"model.safetensors": WeightsHeader(weights[8 : 8 + n], len(weights))},
    )  # fmt: skip


def codes(repository, **wish):
    return [(one.code, one.field) for one in check_model(repository, RunChoice(**wish)).findings]


def with_text(repository, name="config.json", **changes):
    content = {**json.loads(repository.texts[name]), **changes}
    return replace(repository, texts={**repository.texts, name: json.dumps(content).encode()})


def test_a_model_that_transformers_saved_has_no_findings_and_its_numbers_are_counted(pebble):
    report = check_model(pebble, RunChoice())
    assert (report.findings, report.warnings) == ((), ())
    assert (report.n_parameters, report.kind) == (1_112_448, "base")  # as in its card: the tied layer counts once
    assert report.n_bytes == (PEBBLE / "model.safetensors").stat().st_size


REMOTE, UNKNOWN = ("remote_code_required", "model"), ("unsupported_architecture", "model")


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"auto_map": {"AutoModel": "m.M"}}, REMOTE),
        ({"vision_config": {"auto_map": {"AutoModel": "m.M"}}}, REMOTE),
        ({"list": [{"deep": [{"auto_map": {"A": "m.M"}}]}]}, REMOTE),
        ({"custom_pipelines": {"p": {"impl": "p.P"}}}, REMOTE),
        ({"trust_remote_code": True}, REMOTE),
        ({"_attn_implementation": "org/kernel"}, REMOTE),
        ({"attn_implementation": {"": "sdpa", "text_config": "org/kernel:fast"}}, REMOTE),
        ({"_attn_implementation_internal": "org/kernel"}, REMOTE),
        ({"_attn_loader": "x"}, REMOTE),
        ({"_experts_implementation": "org/kernel"}, REMOTE),
        ({"text_config": {"_attn_implementation": 7}}, REMOTE),
        ({"architectures": ["AlienForCausalLM"]}, UNKNOWN),
        ({"architectures": [["LlamaForCausalLM"]]}, UNKNOWN),
        ({"quantization_config": {"quant_method": "torchao"}}, UNKNOWN),
        ({"quantization_config": {"quant_method": ["awq"]}}, UNKNOWN),
        ({"text_config": {"quantization_config": {"quant_method": "mine"}}}, UNKNOWN),
        ({"quantization_config": {}}, UNKNOWN),
        ({"architectures": []}, ("bad_model", "model")),
        ({"model_type": None}, ("bad_model", "model")),
        ({"weights": "/etc/passwd"}, ("bad_model", "model")),
        ({"vision": {"tower": "~/.ssh/id"}}, ("bad_model", "model")),
        ({"files": ["..\\up"]}, ("bad_model", "model")),
        ({"files": [["C:/up"]]}, ("bad_model", "model")),
        ({"at": "file:///etc/passwd"}, ("bad_model", "model")),
    ],
)  # fmt: skip
def test_a_config_that_reaches_beyond_its_repository_is_found_at_any_depth(pebble, changes, finding):
    assert codes(with_text(pebble, **changes)) == [finding]


@pytest.mark.parametrize(
    "changes",
    [
        {"_name_or_path": "/home/me/model"}, {"_attn_implementation": "sdpa"}, {"_attn_implementation": None},
        {"_attn_implementation_autoset": True}, {"auto_map": {}}, {"quantization_config": {"quant_method": "awq"}},
        {"quantization_config": {"quant_algo": "FP8"}}, {"architectures": ["Alien", "LlamaForCausalLM"]},
    ],
)  # fmt: skip
def test_what_trainers_often_leave_in_a_config_is_no_finding(pebble, changes):
    assert codes(with_text(pebble, **changes)) == []


def test_code_of_a_tokenizer_is_found(pebble):
    assert codes(with_text(pebble, "tokenizer_config.json", auto_map={"AutoTokenizer": ["t.T", None]})) == [REMOTE]


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff{}", b"[" * 5000, b'{"a":' * 5000, b"1" * 5000, b"null"])
def test_a_config_that_is_no_json_object_is_a_finding(pebble, text):
    assert codes(replace(pebble, texts={**pebble.texts, "config.json": text})) == [("bad_model", "model")]


@pytest.mark.parametrize(
    "name", ["../up", "/root", "a//b", "a/./b", "a\\b", "a\nb", "~/x", "C:x", "-rf", "safe\u202egnp", "x" * 500, ""]
)
def test_odd_file_names_are_a_finding_even_of_a_gated_model(pebble, name):
    odd = replace(pebble, files=(*pebble.files, File(name, 1)))
    assert codes(odd) == [("bad_model", "model")]
    assert codes(replace(odd, gated=True)) == [("gated", "model"), ("bad_model", "model")]


def test_all_findings_come_at_once(pebble):
    files = tuple(
        file for file in pebble.files if file.name not in ("README.md", "tokenizer.json", "tokenizer_config.json")
    )
    worst = replace(with_text(pebble, auto_map={"A": "m.M"}, architectures=["Alien"]), files=files, licence="")
    assert codes(worst, chat_template=True, max_bytes=1000) == [
        UNKNOWN, REMOTE, ("too_large", "model"), ("bad_model", "model"), ("no_chat_template", "chat_template"),
        ("no_licence", "model"),
    ]  # fmt: skip
    assert [one.code for one in check_model(worst, RunChoice()).warnings] == ["no_card"]


def test_weights_that_fit_as_stored_but_not_as_asked_are_found_at_the_precision(pebble):
    stored = sum(file.size for file in pebble.files if file.name == "model.safetensors")
    assert codes(pebble, max_bytes=stored, dtype="auto") == codes(pebble, max_bytes=stored, dtype="bfloat16") == []
    assert codes(pebble, max_bytes=stored, dtype="float32") == [("too_large", "dtype")]
    assert codes(pebble, max_bytes=stored - 1) == [("too_large", "model")]


def header_of(size=None, **tensors):
    text = json.dumps(tensors).encode()
    return WeightsHeader(
        text,
        8 + len(text) + max([row["data_offsets"][1] for row in tensors.values()], default=0) if size is None else size,
    )


def tensor(first, end, shape=None, dtype="F16"):
    return {"dtype": dtype, "shape": [(end - first) // 2] if shape is None else shape, "data_offsets": [first, end]}


@pytest.mark.parametrize(
    "header",
    [
        header_of(size=10**6, a=tensor(0, 8)),
        header_of(a=tensor(0, 8), b=tensor(16, 24)),
        header_of(a=tensor(0, 8), b=tensor(4, 12)),
        header_of(a=tensor(0, 8, [5])),
        header_of(a=tensor(0, 8, [-4])),
        header_of(a=tensor(0, 8, [True, 4])),
        header_of(a=tensor(0, 8, [1 << 70])),
        header_of(a=tensor(0, 8, dtype="F7")),
        header_of(a=tensor(0, 8, [4] * 99)),
        WeightsHeader(b"", 100), WeightsHeader(b"[]", 10), WeightsHeader(b'{"a": 1}', 16),
    ],
)  # fmt: skip
def test_a_header_that_its_file_does_not_bear_out_is_found(pebble, header):
    files = tuple(File(f.name, header.size if f.name == "model.safetensors" else f.size) for f in pebble.files)
    assert codes(replace(pebble, files=files, headers={"model.safetensors": header})) == [("bad_model", "model")]


def test_shards_and_their_index_must_agree(pebble):
    shards = {"a.safetensors": header_of(x=tensor(0, 8)), "b.safetensors": header_of(y=tensor(0, 8))}
    rest = tuple(file for file in pebble.files if file.name != "model.safetensors")
    index = "model.safetensors.index.json"

    def sharded(places, without=()):
        files = tuple(File(name, one.size) for name, one in shards.items() if name not in without)
        texts = {**pebble.texts, index: json.dumps({"weight_map": places}).encode()}
        headers = {name: one for name, one in shards.items() if name not in without}
        return replace(pebble, files=(*rest, File(index, 1), *files), texts=texts, headers=headers)

    good = {"x": "a.safetensors", "y": "b.safetensors"}
    assert codes(sharded(good)) == []
    assert check_model(sharded(good), RunChoice()).n_parameters == 8
    bad = [("bad_model", "model")]
    assert codes(sharded({**good, "z": "a.safetensors"})) == codes(sharded({**good, "x": "b.safetensors"})) == bad
    assert codes(sharded({})) == codes(sharded(["x"])) == bad
    assert ("bad_model", "model") in codes(sharded(good, without=("b.safetensors",)))


def test_ids_and_revisions_are_plain():
    assert all(map(is_model_id, ("org/model", "0/a", "a.b/c_d-e.f")))
    assert not any(
        map(
            is_model_id,
            ("model", "a/b/c", "../x", "a/..", "a--b/c", "a/b--c", "-a/b", "a/b\n", "é/b", "a/b?x", "a" * 97 + "/b"),
        )
    )
    assert all(map(is_revision, ("main", "v1.0", "refs/pr/3", "0" * 40, "fix/a-b_c")))
    assert not any(
        map(is_revision, ("", "a..b", "a//b", "/a", "a/", "a b", "a\n", "a@{1}", "a?b", "-a", "é", "x" * 101))
    )


def test_the_architectures_are_those_of_the_installed_vllm():
    if importlib.util.find_spec("vllm") is None:
        pytest.skip("vllm is not installed")
    from tests.golden.architectures import FILE, written

    assert FILE.read_text() == written(), "run `python -m tests.golden.architectures`"
    assert {"LlamaForCausalLM", "Mamba2ForCausalLM", "Olmo2ForCausalLM"} <= TEXT  # Olmo2 through transformers' code
    assert "Qwen2VLForConditionalGeneration" in TEXT_AND_MORE
    assert not {"WhisperForConditionalGeneration", "BertModel", "EagleLlamaForCausalLM"} & ARCHITECTURES


def test_quantizations_whose_configs_name_classes_are_not_taken():
    assert "torchao" not in QUANTIZATIONS
