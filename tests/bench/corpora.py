"""Measure how fast training text is written, beside the papers' own generators; part of `make bench`.

    python -m tests.bench.corpora

Prints tokens (or biographies, or sentences) a CPU-second on one core. The reference rates were measured on the
generators that the papers' authors released (listed at RATES); they are not run again.
"""

import time
from collections.abc import Iterator

RATES = (
    ("depo names=long n=125 k=16", "tokens", 2_500_000),
    ("depo names=short n=375 k=8", "tokens", None),
    ("brevo n=70", "tokens", 1_600_000),
    ("brevo n=110", "tokens", 1_600_000),
    ("brevo names=multi n=50", "tokens", None),
    ("mano operations=10", "tokens", 1_000_000),
    ("mano operations=16", "tokens", None),
    ("lano language=f", "documents", 3_500),
    ("bios", "documents", 100_000),
    ("bios wordings=5 permute=1", "documents", 100_000),
    ("bios wordings=5 permute=1 qa=0.5", "documents", None),
    ("bios population=100000", "documents", None),
    ("igsm form=prompt", "documents", None),
    ("repair form=retry", "documents", None),
    ("repair form=prompt", "documents", None),
    ("years form=prompt", "documents", None),
)
"""Corpus and settings, what is counted, and the reference rate where there is one; a document of bios is one
biography, of lano one sentence. Released generators: depo with names of 5-7 tokens, brevo and mano in their training
mixes, bioS single, and sentences of an f-like grammar."""

N_BLOCKS = 200
PASSES = 3


def measure_corpora() -> Iterator[tuple[str, float, float | None]]:
    """Yield (what, units a CPU-second, times the reference), the best of some passes over fresh blocks."""
    from fathom.tasks.corpora.base import make_block, read_options
    from fathom.tasks.corpora.registry import find_corpus
    from fathom.tasks.tokens import TokenBlock

    for settings, unit, reference in RATES:
        name, *given = settings.split()
        corpus = find_corpus(name)
        options = read_options(corpus, dict(one.split("=") for one in given))
        rates = []
        for number in range(PASSES):
            blocks, began = range(number * N_BLOCKS, (number + 1) * N_BLOCKS), time.process_time()
            count = 0
            for at in blocks:
                block = make_block(corpus, options, 1, at)
                tokens = unit == "tokens" and isinstance(block, TokenBlock)
                documents = len(block.ends if isinstance(block, TokenBlock) else block.documents)
                count += len(block.ids) // 2 if tokens else documents
            rates.append(count / (time.process_time() - began))
        rate = max(rates)
        yield f"corpus {settings}, {unit}", rate, rate / reference if reference else None


def main() -> None:
    """Print the table."""
    print("corpora, one core, best of three passes; x: beside the papers' generators")
    for what, rate, ratio in measure_corpora():
        print(f"  {what:<52} {rate:>12,.0f} /s" + (f" {ratio:>6.2f} x" if ratio else ""))


if __name__ == "__main__":
    main()
