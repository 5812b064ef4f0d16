"""Write server/submissions/architectures.py, the architectures that submitted models may have, from vLLM's registry.

Run by `python -m tests.golden.architectures` after another vLLM or transformers was installed;
tests/server/submissions/test_architectures.py compares.
"""

import ast
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from textwrap import wrap

FILE = Path(__file__).parents[2] / "server" / "submissions" / "architectures.py"
_TEXT = ("TransformersForCausalLM", "TransformersMoEForCausalLM")
"""Classes of vLLM that run a text model through transformers' own code."""
_GENERATES = ("ForCausalLM", "ForConditionalGeneration")


def registry() -> dict[str, Mapping[str, tuple[str, str]]]:
    """Return the tables of vLLM's registry by their names: architecture -> (module, class); vLLM is not imported."""
    (folder,) = find_spec("vllm").submodule_search_locations
    tree = ast.parse((Path(folder) / "model_executor" / "models" / "registry.py").read_text())
    tables = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict) and None not in node.value.keys:
            tables[node.targets[0].id] = ast.literal_eval(node.value)
    return tables


def text_architectures() -> set[str]:
    """Return all models of text."""
    tables = registry()
    through = {name for name, (_, made) in tables["_TRANSFORMERS_SUPPORTED_MODELS"].items() if made in _TEXT}
    return set(tables["_TEXT_GENERATION_MODELS"]) | through


def mixed_architectures() -> set[str]:
    """Return the models of text and more that transformers, too, knows as models of pictures and text.

    Others need code of their repository, or hear and speak only.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KNOWN

    return {name for name in registry()["_MULTIMODAL_MODELS"] if name in KNOWN.values() and name.endswith(_GENERATES)}


def written() -> str:
    """Return the text of the file."""
    parts = (
        ("TEXT", text_architectures(), "Models of text alone."),
        ("TEXT_AND_MORE", mixed_architectures(), "Models of text and pictures, here asked in text alone."),
    )
    return _HEAD + "\n".join(
        f'_{name} = """\n{_lines(names)}\n"""\n{name} = frozenset(_{name}.split())\n"""{said}"""'
        for name, names, said in parts
    ) + _TAIL  # fmt: skip


_HEAD = '''"""The architectures that submitted models may have: those that vLLM runs.

Written by `python -m tests.golden.architectures`; not to be edited.
"""

'''
_TAIL = '''
ARCHITECTURES = TEXT | TEXT_AND_MORE
"""Values of `architectures` in config.json that are taken."""
'''


def _lines(names: set[str]) -> str:
    return "\n".join(wrap(" ".join(sorted(names)), 116, initial_indent="    ", subsequent_indent="    "))


if __name__ == "__main__":
    FILE.write_text(written())
