"""Forms of a corpus: lessons of its family, and the text that a paper defines."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from fathom.tasks.arithmetic.retry import PROBLEM_KINDS, pose_problem, write_solution
from fathom.tasks.corpora.base import Block, Option, Options, Pairs, TextBlock
from fathom.tasks.corpora.lessons import N_DOCUMENTS, PROMPT_OPTIONS, check_prompt, prompt_block
from fathom.tasks.errors import BadOption
from fathom.tasks.stream import Stream


def _no_tokens(_: Options) -> tuple[str, ...]:
    return ()


def _fits(_: Options) -> None:
    pass


@dataclass(frozen=True)
class Form:
    """One form of the text: its name, its settings, and the function that writes it."""

    name: str
    options: Mapping[str, Option]
    write: Callable[[Options, str, Stream], Block]
    vocabulary: Callable[[Options], tuple[str, ...]] = _no_tokens
    check: Callable[[Options], None] = _fits  # raises BadOption where settings do not fit together


@dataclass(frozen=True)
class FormedCorpus:
    """A corpus with the form `prompt` and forms of its own, the first of which is the default."""

    name: str
    version: int
    summary: str
    reference: str
    forms: tuple[Form, ...] = ()

    @cached_property
    def options(self) -> Mapping[str, Option]:
        """The settings of all forms; each setting belongs to one form."""
        names = (*[form.name for form in self.forms], "prompt")
        meaning = "which text is written; prompt: questions and answers as an evaluation poses them"
        own = {name: option for form in self.forms for name, option in form.options.items()}
        return {"form": Option(names[0], meaning, choices=names), **own, **PROMPT_OPTIONS}

    def _form(self, options: Options) -> Form | None:
        return next((form for form in self.forms if form.name == options["form"]), None)

    def check(self, options: Options) -> None:
        """Reject settings of a form that is not selected: they would have no effect."""
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
        """Return the tokens of a token form by id; empty for text."""
        form = self._form(options)
        return form.vocabulary(options) if form else ()

    def block(self, options: Options, seed: str, stream: Stream) -> Block:
        """Write one block in the form that the options name."""
        form = self._form(options)
        return form.write(options, seed, stream) if form else prompt_block(self.name, options, stream)


MOST_OP = 25
"""Most operations of a problem."""


def retry_form(problems: tuple[str, ...], error_rate: float) -> Form:
    """Return the form `retry`, for one kind of problem, or with an option that names the kind."""
    options = {
        "error_rate": Option(error_rate, "chance of a wrong start before each step, and again after each", 0, 0.5),
        "op": Option(12, "most operations of a problem; each number from 2 on is as frequent", 2, MOST_OP),
    }
    if len(problems) > 1:
        options["problem"] = Option(PROBLEM_KINDS[0], "webs of counts, or expressions", choices=problems)

    def write(options: Options, _: str, stream: Stream) -> TextBlock:
        kind, rate = str(options.get("problem", problems[0])), float(options["error_rate"])
        return TextBlock(tuple([_document(kind, int(options["op"]), rate, stream) for _ in range(N_DOCUMENTS)]))

    return Form("retry", options, write)


def _document(kind: str, most: int, rate: float, stream: Stream) -> Pairs:
    posed = pose_problem(kind, 2 + stream.below(most - 1), stream)
    return [(posed.question, f" {write_solution(posed.facts, rate, stream)}")]
