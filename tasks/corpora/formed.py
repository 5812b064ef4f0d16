"""Give a corpus its forms: lessons of its family, and text of its own where a paper defines one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from tasks.corpora.base import Block, Option, Options
from tasks.corpora.prompt import PROMPT_OPTIONS, check_prompt, prompt_block
from tasks.errors import BadOption
from tasks.stream import Stream


def _no_tokens(_: Options) -> tuple[str, ...]:
    return ()


def _fits(_: Options) -> None:
    pass


@dataclass(frozen=True)
class Form:
    """Text of a corpus's own: its name, its settings, and what writes it."""

    name: str
    options: Mapping[str, Option]
    write: Callable[[Options, str, Stream], Block]
    vocabulary: Callable[[Options], tuple[str, ...]] = _no_tokens
    check: Callable[[Options], None] = _fits  # raises BadOption where settings do not fit together


@dataclass(frozen=True)
class FormedCorpus:
    """A corpus in the form `prompt`, and in forms of its own; see `Corpus`. The first form is the default."""

    name: str
    version: int
    summary: str
    reference: str
    forms: tuple[Form, ...] = ()

    @cached_property
    def options(self) -> Mapping[str, Option]:
        """Settings of all forms; each belongs to one form."""
        names = (*[form.name for form in self.forms], "prompt")
        meaning = "which text is written; prompt: questions and answers as an evaluation poses them"
        own = {name: option for form in self.forms for name, option in form.options.items()}
        return {"form": Option(names[0], meaning, choices=names), **own, **PROMPT_OPTIONS}

    def _form(self, options: Options) -> Form | None:
        return next((form for form in self.forms if form.name == options["form"]), None)

    def check(self, options: Options) -> None:
        """Refuse settings of a form that is not written: they would do nothing."""
        form = self._form(options)
        used = ("form", *(form.options if form else PROMPT_OPTIONS))
        for name, option in self.options.items():
            if name not in used and options[name] != option.default:
                raise BadOption(f"{self.name}: {name} does nothing in the form {options['form']}; leave it out")
        if form is None:
            check_prompt(self.name, options)
        else:
            form.check(options)

    def vocabulary(self, options: Options) -> tuple[str, ...]:
        """Return the tokens of a token form by id; nothing for text."""
        form = self._form(options)
        return form.vocabulary(options) if form else ()

    def block(self, options: Options, seed: str, stream: Stream) -> Block:
        """Write one block of the form that the options name."""
        form = self._form(options)
        return form.write(options, seed, stream) if form else prompt_block(self.name, options, stream)
