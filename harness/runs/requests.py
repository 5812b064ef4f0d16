"""Turn items into requests as lm-eval makes them without demonstrations; for those who have no lm-eval."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b

from fathom.harness.engines.base import Request, Sampling, Turn
from fathom.harness.runs.prompting import Decoding, Prompting
from fathom.tasks.base import SCORED, Cell, Instance, level_of, make_instance, pose, shown_candidates
from fathom.tasks.registry import find_family
from fathom.tasks.suites import SuiteCell, make_items

_PLAIN, _CHAT, _GREEDY = Prompting(), Prompting(chat=True), Decoding()


def stops(style: str, n_shots: int) -> tuple[str, ...]:
    """Return the texts at which an answer to a plain prompt ends.

    A direct answer and a free text end with their line. A chain of thought may have blank lines, so it is cut at one
    only after demonstrations, which have none.
    """
    if style in ("direct", "free", "trained"):
        return ("\n",)
    return ("\n\n",) if n_shots else ()


def temperature(style: str) -> float:
    """Return at what temperature a style is sampled: 1 for `free`, else 0, which is greedy."""
    return 1.0 if style == "free" else 0.0


def answer_stops(style: str, prompting: Prompting) -> tuple[str, ...]:
    """Return the texts at which an answer ends, once it has begun; in a chat demonstrations teach no blank line."""
    return stops(style, 0 if prompting.chat else prompting.n_shots)


def sampling_of(cell: SuiteCell | Cell, prompting: Prompting = _PLAIN, decoding: Decoding = _GREEDY) -> Sampling:
    """Return how a cell's items are answered; candidates are scored, so they generate one token at most.

    A model in a chat ends its turn itself, and may begin with blank lines; a thought has lines of its own. So neither
    is stopped at a text: harness.reading finds the answer in what was written.
    """
    if cell.style in SCORED:
        return Sampling(1)
    family, thinking = find_family(cell.family), decoding.thinking
    budget = decoding.budgets.get(cell.style) or family.budget(level_of(family, cell.level), cell.style)
    heat = temperature(cell.style) if decoding.temperature is None else decoding.temperature
    if thinking is not None:
        return Sampling(budget + thinking.budget, (), heat)
    return Sampling(budget, () if prompting.chat else answer_stops(cell.style, prompting), heat)


def request_of(cell: SuiteCell, item: Instance, digest: str, chat: bool = False, repeat: int = 0) -> Request:
    """Write an item's request, as plain text or as the one turn of a chat; `digest` is that of the run's manifest."""
    prompt = pose(find_family(item.family), item, cell.style)
    sampling, choices = sampling_of(cell, _CHAT if chat else _PLAIN), shown_candidates(item, cell.style)
    key = sample_key(digest, item.id, prompt, (sampling, choices), repeat)
    return Request(key, item.id, prompt, sampling, choices, (Turn("user", prompt),) if chat else ())


def requests_of(
    cell: SuiteCell, seed: str, digest: str, indices: Iterable[int] | None = None, chat: bool = False
) -> Iterator[Request]:
    """Write the requests of a cell, all of them or those of some indices, in order."""
    if indices is None:
        items: Iterable[Instance] = make_items(cell.cell, seed, cell.n)
    else:
        family = find_family(cell.family)
        items = (make_instance(family, cell.level, cell.channel, seed, index) for index in indices)
    return (request_of(cell, item, digest, chat) for item in items)


def sample_key(digest: str, item: str, prompt: str, how: object, repeat: int) -> str:
    """Digest what makes a completion reusable: manifest, item, prompt, sampling with choices, and repeat; 32 hex."""
    parts = "\0".join((digest, item, prompt, repr(how), str(repeat)))
    return blake2b(parts.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def prompt_digest(prompt: str) -> str:
    """Digest a prompt, to compare two without sending them; 16 hex digits."""
    return blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
