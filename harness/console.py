"""Turn what commands print into text of the right width, without anything heavy behind it."""

import json

from rich.console import Console


def make_console(*, stderr: bool = False, quiet: bool = False) -> Console:
    """Return a console that keeps tables whole where no terminal says how wide it is."""
    console = Console(stderr=stderr, highlight=False, quiet=quiet)
    return console if console.is_terminal else Console(stderr=stderr, highlight=False, quiet=quiet, width=120)


def print_json(value: object) -> None:
    """Print JSON values for people and programs alike."""
    print(json.dumps(value, indent=1, ensure_ascii=False))  # noqa: T201  # a command's output
