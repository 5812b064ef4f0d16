"""Write problems with solutions in which wrong starts are taken back, as the levels `retry-*` of `repair` ask them."""

from tasks.corpora.base import Option, Options, Pairs, TextBlock
from tasks.corpora.formed import Form
from tasks.corpora.prompt import N_DOCUMENTS
from tasks.retry import PROBLEMS, pose_problem, write_solution
from tasks.stream import Stream

MOST_OP = 25
"""Most operations of a problem: as many as the largest levels of `repair` have steps."""


def retry_form(problems: tuple[str, ...], error_rate: float) -> Form:
    """Return the form `retry` of a corpus: of one kind of problem, or of a kind that the options name."""
    options = {
        "error_rate": Option(error_rate, "chance of a wrong start before each step, and again after each", 0, 0.5),
        "op": Option(12, "most operations of a problem; each number from 2 on is as frequent", 2, MOST_OP),
    }
    if len(problems) > 1:
        options["problem"] = Option(PROBLEMS[0], "webs of counts, or expressions", choices=problems)

    def write(options: Options, _: str, stream: Stream) -> TextBlock:
        kind, rate = str(options.get("problem", problems[0])), float(options["error_rate"])
        return TextBlock(tuple([_document(kind, int(options["op"]), rate, stream) for _ in range(N_DOCUMENTS)]))

    return Form("retry", options, write)


def _document(kind: str, most: int, rate: float, stream: Stream) -> Pairs:
    posed = pose_problem(kind, 2 + stream.below(most - 1), stream)
    return [(posed.question, f" {write_solution(posed.facts, rate, stream)}")]
