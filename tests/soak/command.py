"""The command line of `python -m tests.soak`.

faults --n 1000 --seed 1        cache faults
interrupts --n 500 --seed 1     Ctrl-C at random times, and at every instruction of a call
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from soak import faults, interrupts
from soak.stepping import CASES


def soak_faults(count: int, seed: int) -> list[str]:
    made = faults.campaign(count, seed)
    print(", ".join(f"{name}: {n}" for name, n in sorted(made.counts.items())))
    print(f"{made.counts.total()} faults, {len(made.wrong)} wrong")
    wrong: list[str] = made.wrong
    return wrong


def soak_interrupts(count: int, seed: int) -> list[str]:
    """At least `count` signals, over all cases and ways."""
    pairs = [(name, way) for name in CASES for way in interrupts.WAYS]
    each = -(-count // len(pairs))
    for name, way in pairs:
        steps = interrupts.at_random_times(name, way, each, seed)
        before, after = interrupts.at_instructions(name, way)
        print(f"{name}, {way}: {each} signals in {steps} steps; at every instruction: {before}"
              f" left the state before the step, {after} after it")  # fmt: skip
    print(f"{each * len(pairs)} signals")
    return []


KINDS: dict[str, tuple[Callable[[int, int], list[str]], int]] = {
    "faults": (soak_faults, 1000),
    "interrupts": (soak_interrupts, 500),
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--n", type=int)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    function, count = KINDS[given.kind]
    start = time.perf_counter()
    wrong = function(count if given.n is None else given.n, given.seed)
    print(f"{time.perf_counter() - start:.0f} s, seed {given.seed}")
    for line in wrong:
        print(line)
    return 1 if wrong else 0
