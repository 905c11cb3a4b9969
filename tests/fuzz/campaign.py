"""Fuzzing campaigns: so many programs of each kind, each with a seed of its own."""

from __future__ import annotations

import random
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from importlib import import_module
from multiprocessing import get_context
from typing import Final

from tapeless.compiler.pipeline import STEPS
from tapeless.passes.rewriting.rules import RulePass

from .check import Arrays, check
from .gradients import check_gradient
from .grow import Program, grow, grow_large
from .peer import against
from .shrink import shrink
from .training import LARGE_STEP, training_step

Run = Callable[[Program, random.Random], "Counter[str]"]
Outcome = tuple["Counter[str]", "Find | None"]


@dataclass
class Find:
    """A defect: its kind and seed, what was raised, and the smallest program that shows it, as
    text, for it may come from a worker process."""

    kind: str
    seed: int
    error: str
    graph: str
    arguments: Arrays

    def __str__(self) -> str:
        arguments = "\n".join(f"  {a!r}" for a in self.arguments)
        return f"{self.kind}, seed {self.seed}: {self.error}\n{self.graph}\n{arguments}"


NEVER_NEEDED: Final = frozenset({"eye_parts"})
"""In the pipeline `jacobian_free` comes first and leaves no `eye`."""


def every_rule() -> set[str]:
    """The names of the rewrite rules that programs can need."""
    passes = [step.run for step in STEPS if isinstance(step.run, RulePass)]
    return {rule.name for p in passes for rule in p.rules} - NEVER_NEEDED


@dataclass
class Report:
    """What a campaign ran and found."""

    ran: Counter[str] = field(default_factory=Counter)
    fired: Counter[str] = field(default_factory=Counter)
    finds: list[Find] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def never_fired(self) -> list[str]:
        """The rewrite rules that found nothing to do in all these programs."""
        return sorted(every_rule() - set(self.fired))

    def __str__(self) -> str:
        counts = ", ".join(f"{n:,} {kind}" for kind, n in self.ran.items())
        lines = [
            f"{counts} in {self.seconds:.0f} s: {len(self.finds)} finds",
            *map(str, self.finds),
        ]
        fired = "  ".join(f"{name} {n}" for name, n in sorted(self.fired.items()))
        never = ", ".join(self.never_fired) or "none"
        return "\n".join([*lines, f"fired: {fired}", f"rules that never fired: {never}"])


def interpreted(program: Program, rng: random.Random) -> Counter[str]:
    """Every stage and some other orders of passes, by the interpreter."""
    return check(program, rng)


def native(program: Program, rng: random.Random) -> Counter[str]:
    """As `interpreted`, and native code."""
    return check(program, rng, native=True)


def gradients(program: Program, rng: random.Random) -> Counter[str]:
    """The gradient at every stage, and against differences where those are known."""
    return Counter(compared=int(check_gradient(program, rng)))


def native_gradients(program: Program, rng: random.Random) -> Counter[str]:
    """As `gradients`, and native code."""
    return Counter(compared=int(check_gradient(program, rng, native=True)))


def beside(library: str) -> Run:
    """Values and gradients by a library, which must be installed."""

    def run(program: Program, rng: random.Random) -> Counter[str]:
        peer = import_module(f".{library}_peer", __package__).PEER
        return against(peer, program, rng)

    return run


def small(rng: random.Random) -> Program:
    """A program of few steps, whose derivative is known more often."""
    return grow(rng, rng.randint(1, 6))


def small_or_training(rng: random.Random) -> Program:
    return training_step(rng) if rng.random() < 0.3 else small(rng)


def large(rng: random.Random) -> Program:
    """A program, or a training step, on arrays of usual sizes."""
    return training_step(rng, LARGE_STEP) if rng.random() < 0.3 else grow_large(rng)


KINDS: dict[str, tuple[Run, Callable[[random.Random], Program]]] = {
    "interpreted": (interpreted, grow),
    "native": (native, grow),
    "gradients": (gradients, small),
    "native_gradients": (native_gradients, small),
    "training": (native, training_step),
    "large": (native, large),
    "numpy": (beside("numpy"), small),
    "jax": (beside("jax"), small),
    "torch": (beside("torch"), small_or_training),
}
"""How a kind of program is checked, and how it is made."""

CRASHING: Final = frozenset({"native", "native_gradients", "training", "large", "numpy"})
"""Kinds that run machine code."""


def grown(kind: str, seed: int) -> tuple[Program, random.Random]:
    """The program of a seed, and the generator to go on with."""
    rng = random.Random(f"{kind} {seed}")
    return KINDS[kind][1](rng), rng


def one(kind: str, seed: int) -> Outcome:
    """Run one program; a find is made minimal."""
    run = KINDS[kind][0]
    program, rng = grown(kind, seed)
    state = rng.getrandbits(64)
    try:
        return run(program, random.Random(state)), None
    except Exception as error:
        wanted = _headline(error)

        def fails(candidate: Program) -> bool:
            try:
                run(candidate, random.Random(state))
            except Exception as other:
                return _headline(other) == wanted
            return False

        small = shrink(program, fails)
        return Counter(), Find(kind, seed, str(error), str(small.graph), small.arguments)


def _headline(error: Exception) -> tuple[str, str]:
    """What makes two errors the same defect: the type, and who was wrong."""
    return type(error).__name__, str(error).partition(":")[0]


def campaign(counts: dict[str, int], seed: int, jobs: int = 1) -> Report:
    """Run `counts[kind]` programs of each kind; machine code always in worker processes, so that a
    crash is a find and not the end."""
    report, began = Report(), time.monotonic()
    for kind, count in counts.items():
        seeds = range(seed, seed + count)
        results = (
            _in_workers(kind, seeds, jobs)
            if jobs > 1 or kind in CRASHING
            else (one(kind, s) for s in seeds)
        )
        for fired, find in results:
            report.fired.update(fired)
            if find:
                report.finds.append(find)
                print(find, file=sys.stderr, flush=True)
        report.ran[kind] = count
    report.seconds = time.monotonic() - began
    return report


CHUNK: Final = 20
SECONDS: Final = 300
"""A chunk that takes longer counts as hanging."""


def _in_workers(kind: str, seeds: range, jobs: int) -> Iterator[Outcome]:
    """Chunks of seeds in worker processes; one that kills its worker is run seed by seed."""
    chunks = [seeds[k : k + CHUNK] for k in range(0, len(seeds), CHUNK)]
    waiting = deque(chunks)
    while waiting:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            started = [(chunk, pool.submit(several, kind, chunk)) for chunk in waiting]
            waiting.clear()
            for chunk, future in started:
                try:
                    yield from future.result(timeout=SECONDS * len(started))
                except BrokenProcessPool:
                    if len(chunk) == 1:
                        yield Counter(), _crash(kind, chunk[0])
                    else:
                        waiting.extend(chunk[k : k + 1] for k in range(len(chunk)))


def several(kind: str, seeds: range) -> list[Outcome]:
    """What a worker does."""
    return [one(kind, seed) for seed in seeds]


def _crash(kind: str, seed: int) -> Find:
    program, _ = grown(kind, seed)
    return Find(kind, seed, "the process died", str(program.graph), program.arguments)


__all__ = ["KINDS", "Find", "Report", "campaign", "every_rule", "grown", "one"]
