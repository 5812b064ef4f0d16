"""Runs as files: a TOML file whose keys are the options of `fathom run`, read into words of the command line and back.

The options themselves are the only list of keys: what the command takes, a file takes under the same name.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer

from fathom.harness.errors import BadRunFile, write_error

_NO_KEYS = ("file", "write", "resume", "help")
"""Options that a file cannot hold: those about files, and one that names a run with options of its own."""
_HEAD = "# A run of Fathom: `fathom run {name}`. Keys are the options of `fathom run`.\n"


def is_given(ctx: typer.Context, option: Any) -> bool:  # a parameter of click or of typer's copy of it
    """Return whether an option stands on the command line."""
    source = ctx.get_parameter_source(option.name)
    return source is not None and source.name == "COMMANDLINE"


def file_words(file: Path, options: Sequence[Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield (name of an option, words of the command line) for each key of a file.

    Raises:
        BadRunFile: it cannot be read, or holds what the command does not take.
    """
    known = {one.name: one for one in options if one.name not in _NO_KEYS}
    for key, value in _read(file).items():
        name = key.replace("-", "_")
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0].replace('_', '-')}?" if near else "`fathom run --help` lists the options"
            raise BadRunFile(f"{file}: no option {key!r}: {hint}")
        yield name, list(_words(f"{file}: {key}", known[name], value))


def _read(file: Path) -> dict[str, Any]:  # TOML values
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadRunFile(f"{file} cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadRunFile(f"{file} is no TOML: {error}") from error


def _words(place: str, option: Any, value: Any) -> Iterator[str]:  # TOML values
    """Yield the words that give an option a value; a table is key=value words, a list repeats or has commas."""
    flag = option.opts[0]
    if option.is_flag:
        if not isinstance(value, bool):
            raise BadRunFile(f"{place} is {value!r}: give true or false")
        no = option.secondary_opts
        if value or no:
            yield flag if value else no[0]
    elif isinstance(value, Mapping) and option.multiple:
        for name, one in value.items():
            yield from (flag, f"{name}={one if isinstance(one, str) else json.dumps(one)}")
    elif isinstance(value, list) and value and all(map(_is_plain, value)):
        texts = [str(one) for one in value]
        for text in texts if option.multiple else [",".join(texts)]:
            yield from (flag, text)
    elif _is_plain(value):
        yield from (flag, str(value))
    else:
        raise BadRunFile(f"{place} is {value!r}: give a text, a number, or a list of them")


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def write_run_file(file: Path, ctx: typer.Context, more: Mapping[str, str | Sequence[str]]) -> None:
    """Write the options that a command was called with, and `more`, as a run file.

    Raises:
        BadRunFile: the file is there already.
        BadInput: it cannot be written.
    """
    given = {
        one.name: ctx.params[one.name]
        for one in ctx.command.params
        if one.name not in _NO_KEYS and one.name != "dry_run" and is_given(ctx, one)
    }
    lines = [f"{name.replace('_', '-')} = {_toml(value)}\n" for name, value in {**given, **more}.items() if name]
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(_HEAD.format(name=file.name) + "".join(lines))
    except FileExistsError as error:
        raise BadRunFile(f"{file} is there already: name a new file with --write, or remove it") from error
    except OSError as error:
        raise write_error(file, error) from error


def _toml(value: object) -> str:
    """Write a text, number, boolean, path or list of them as TOML, whose basic strings are JSON's but for DEL."""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
