"""Do what `fathom corpus` asks for; a module of its own, so that no database is loaded for it."""

from harness.console import make_console, print_json
from harness.corpora.showing import CorpusProgress, corpora_json, render_corpora
from harness.corpora.writing import Plan, write_corpus


def make_corpus(plan: Plan) -> None:
    """Write training text with a live bar, and say what is there.

    Raises:
        CorpusChanged, BadMix, DiskFull, WorkerLost: see harness.corpora.writing.
    """
    console = make_console()
    with CorpusProgress(console, plan.tokens) as progress:
        manifest = write_corpus(plan, progress)
    console.print(progress.summary(manifest, plan.out), soft_wrap=True, markup=False, highlight=False)


def list_corpora(as_json: bool) -> None:
    """Print the corpora with their options, as a table or as JSON."""
    if as_json:
        print_json(corpora_json())
    else:
        make_console().print(render_corpora())
