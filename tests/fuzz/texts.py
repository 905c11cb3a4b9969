"""Hostile text: the texts of random programs and of the golden files, damaged.

    python -m tests.fuzz --texts 100000 --seed 1

The IR is read from files that anyone may have written. A damaged text must end in `IRSyntaxError`
or `VerifyError`, in a second and 200 MB, or be a graph that verifies and prints as itself.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

from hostile import SEEDS, hostile, outcome
from tapeless.compiler.pipeline import lower

from .grow import grow
from .steps import GOLDEN, motifs
from .training import training_step


@cache
def written() -> tuple[str, ...]:
    """What stands in the golden files and in the tests of the parser."""
    return (*SEEDS, *motifs(), *(file.read_text() for file in sorted(GOLDEN.glob("*.txt"))))


def text_of(rng: random.Random) -> str:
    """A text to damage: written by hand, or of a random program at any stage."""
    if rng.random() < 0.5:
        return rng.choice(written())
    program = training_step(rng) if rng.random() < 0.2 else grow(rng, rng.randint(1, 8))
    if rng.random() < 0.5:
        return str(program.graph)
    return str(rng.choice(list(lower(program.graph).graphs.values())))


def texts(count: int, seed: int) -> Iterator[tuple[int, str, str | None]]:
    """(seed, damaged text, what is wrong with how it was taken or None), of each text several."""
    rng, text = random.Random(f"texts {seed}"), ""
    for number in range(count):
        if number % 20 == 0:
            text = text_of(rng)
        damaged = hostile(rng, text)
        try:
            outcome(damaged)
        except Exception as error:
            yield number, damaged, f"{type(error).__name__}: {error}"
        else:
            yield number, damaged, None


def run(count: int, seed: int) -> int:
    """Print every text that was taken badly; how many there were."""
    bad = 0
    for number, text, error in texts(count, seed):
        if error is not None:
            bad += 1
            print(f"text {number}: {error}\n{text}", flush=True)
    print(f"{count:,} texts, seed {seed}: {bad} finds")
    return bad


__all__ = ["run", "texts"]
