"""The command line of `python -m tests.soak`.

faults --n 1000 --seed 1            cache faults
interrupts --n 500 --seed 1         Ctrl-C at random times, and at every instruction of a call
memory --n 200 --seed 1             calls with little memory left
threads --n 200 --seed 1            functions that 16 threads compile and call
reductions --n 100000000            elements of the longest sums
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from soak import faults, interrupts, memory, reductions, threads
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


def soak_memory(count: int, seed: int) -> list[str]:
    memory.starve_first_call()
    for name in memory.STEPS:
        for layout in memory.LAYOUTS:
            for way in interrupts.WAYS:
                too_little, ran = memory.starve(name, layout, way, count // 8, seed)
                print(f"{name}, {layout}, {way}: {too_little} calls had too little, {ran} ran")
    return []


def soak_threads(count: int, seed: int) -> list[str]:
    print(f"{threads.crowd(16, count, seed, 3600)} calls of {count} functions by 16 threads")
    return []


def soak_reductions(count: int, seed: int) -> list[str]:
    x = reductions.numbers(count)
    found = {"all": max(reductions.errors_of_totals(x))}
    for layout in reductions.LAYOUTS:
        found[f"by axis, {layout}"] = max(reductions.errors_by_axis(x, layout))
    found["contractions"] = max(reductions.errors_of_contractions(x))
    for name, error in found.items():
        print(f"{name}: {error:.2g}")
    return [f"{name}: {error}" for name, error in found.items() if not error <= 1e-6]


KINDS: dict[str, tuple[Callable[[int, int], list[str]], int]] = {
    "faults": (soak_faults, 1000),
    "interrupts": (soak_interrupts, 500),
    "memory": (soak_memory, 200),
    "threads": (soak_threads, 200),
    "reductions": (soak_reductions, 10**8),
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
