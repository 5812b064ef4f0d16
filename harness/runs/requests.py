"""Write the requests of items without lm-eval, as lm-eval makes them without demonstrations."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b

from fathom.harness.engines.base import Request, Sampling, Turn
from fathom.harness.runs.run_settings import PromptSettings, RunSettings
from fathom.tasks.base import SCORED, Cell, Instance, level_of, make_instance, pose, shown_candidates
from fathom.tasks.registry import find_family
from fathom.tasks.suites import SuiteCell, make_items

_PLAIN, _CHAT = RunSettings(), RunSettings(PromptSettings(chat=True))


def answer_ends(style: str, n_shots: int) -> tuple[str, ...]:
    """Return the texts at which an answer to a plain prompt ends.

    A direct answer and a free text end with their line. A chain of thought may have blank lines, so a blank line ends
    it only after demonstrations, which have none.
    """
    if style in ("direct", "free", "trained"):
        return ("\n",)
    return ("\n\n",) if n_shots else ()


def _temperature(style: str) -> float:
    """Return the temperature of a style: 1 for `free`, else 0, which is greedy."""
    return 1.0 if style == "free" else 0.0


def answer_stops(style: str, prompt: PromptSettings) -> tuple[str, ...]:
    """Return the texts that end an answer after its first character; in a chat, a blank line never does."""
    return answer_ends(style, 0 if prompt.chat else prompt.n_shots)


def sampling_of(cell: SuiteCell | Cell, settings: RunSettings = _PLAIN) -> Sampling:
    """Return the sampling of a cell's items; where candidates are scored, at most one token is generated.

    Chats and thoughts have no stop text: a model ends its turn itself, and may begin with blank lines, and a thought
    has several lines. `grading.AnswerReader` finds the answer in the text.
    """
    if cell.style in SCORED:
        return Sampling(1)
    family, sampling, thinking = find_family(cell.family), settings.sampling, settings.sampling.thinking
    budget = sampling.budgets.get(cell.style) or family.budget(level_of(family, cell.level), cell.style)
    heat = _temperature(cell.style) if sampling.temperature is None else sampling.temperature
    if thinking is not None:
        return Sampling(budget + thinking.budget, (), heat)
    return Sampling(budget, () if settings.prompt.chat else answer_stops(cell.style, settings.prompt), heat)


def make_request(cell: SuiteCell, item: Instance, digest: str, chat: bool = False, repeat: int = 0) -> Request:
    """Write an item's request, as plain text or as a chat of one turn; `digest` is that of the run's manifest."""
    prompt = pose(find_family(item.family), item, cell.style)
    sampling, choices = sampling_of(cell, _CHAT if chat else _PLAIN), shown_candidates(item, cell.style)
    key = sample_key(digest, item.id, prompt, (sampling, choices), repeat)
    return Request(key, item.id, prompt, sampling, choices, (Turn("user", prompt),) if chat else ())


def make_requests(
    cell: SuiteCell, seed: str, digest: str, indices: Iterable[int] | None = None, chat: bool = False
) -> Iterator[Request]:
    """Write the requests of a cell in order: all, or those of some indices."""
    if indices is None:
        items: Iterable[Instance] = make_items(cell.cell, seed, cell.n)
    else:
        family = find_family(cell.family)
        items = (make_instance(family, cell.level, cell.channel, seed, index) for index in indices)
    return (make_request(cell, item, digest, chat) for item in items)


def sample_key(digest: str, item: str, prompt: str, how: object, repeat: int) -> str:
    """Digest manifest, item, prompt, sampling with choices, and repeat; a resumed run recalls a completion by it.

    Returns 32 hex digits.
    """
    parts = "\0".join((digest, item, prompt, repr(how), str(repeat)))
    return blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def digest_of_prompt(prompt: str) -> str:
    """Digest a prompt, to compare prompts without sending them; 16 hex digits."""
    return blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
