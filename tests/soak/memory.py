"""Exhausted memory: the address space of a process is limited in the middle of its life.

A step that gets no memory raises MemoryError, and the state of its arguments is what it was.
"""

from __future__ import annotations

import ctypes
import random
import resource
from typing import Any

import numpy as np
import tapeless as tl

from soak.children import in_child
from soak.interrupts import WAYS

SIZE = 2**16
"""Elements of an array, which then takes 512 KiB."""


@tl.compile
def grow(p: Any, d: float) -> Any:
    """Updates half the arrays, and makes new ones of the others and of the result."""
    for name in p:
        if name < "c":
            p[name] += d
        else:
            p[name] = p[name] + d
    return np.sqrt(p["a"]), [p[name] * 2 for name in p]


@tl.compile
def spread(p: Any, d: float) -> Any:
    """Takes 24 MB of intermediate memory: every partial sum of a table, from both ends."""
    table = p["a"].reshape(256, 256)
    q = np.concatenate([table, table * 2, table + 1, table - 1] * 4)
    total = np.sum(np.cumsum(q, axis=0) * np.cumsum(q, axis=1))
    for name in p:
        p[name] += d
    return total


M_MMAP_THRESHOLD = -3

STEPS = {"grow": grow, "spread": spread}


def contiguous() -> dict[str, Any]:
    return {name: np.zeros(SIZE) for name in "abcdef"}


def strided() -> dict[str, Any]:
    return {name: np.zeros(2 * SIZE)[::2] for name in "abcdef"}


LAYOUTS = {"contiguous": contiguous, "strided": strided}


def counts(p: dict[str, Any]) -> set[float]:
    return {float(x) for a in p.values() for x in (a.min(), a.max())}


def limit(spare: int | None) -> None:
    """Limit the address space to what is used now and so many bytes more; None: not at all."""
    most = resource.RLIM_INFINITY
    if spare is not None:
        with open("/proc/self/statm") as file:
            most = int(file.read().split()[0]) * resource.getpagesize() + spare
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def use_up() -> list[Any]:
    """Make the C library take large arrays from the system and give them back: what it holds free
    is used up by the arrays that this returns."""
    kept: list[Any] = []
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 2**17)
    limit(0)
    try:
        while True:
            kept.append(np.empty(2**17, np.uint8))
    except MemoryError:
        limit(None)
    return kept


def starve(name: str, layout: str, way: str, count: int, seed: int) -> tuple[int, int]:
    """Call a step so many times with little memory left; how often it had too little, and how often
    it ran.

    AssertionError if a state is not what it was, or one step on.
    """
    run, p = WAYS[way](STEPS[name]), LAYOUTS[layout]()
    run(p, 1.0)
    run(p, 1.0)

    def child() -> list[int]:
        kept, pick, seen, spare = use_up(), random.Random(seed), [0, 0], 4e6
        for _ in range(count):
            before = counts(p)
            limit(int(spare * pick.uniform(0.5, 1.5)))
            try:
                run(p, 1.0)
                ran = 1
            except MemoryError:
                ran = 0
            limit(None)
            assert counts(p) == {value + ran for value in before}
            seen[ran] += 1
            spare *= 0.7 if ran else 1.4  # near to what is just enough
        return seen if kept else []

    done = in_child(child)
    assert done.status == 0, done
    too_little, ran = done.value
    return too_little, ran


def starve_first_call() -> None:
    """A step whose arena does not fit is compiled, raises, and runs when there is memory."""

    def child() -> bool:
        step = tl.compile(lambda p: spread.function(p, 1.0))
        p = contiguous()
        step.lower(p)
        program = step.programs[0]
        made = program.native.executable.arena_bytes
        fresh = tl.compile(lambda p: spread.function(p, 1.0))
        kept = use_up()
        limit(made // 2)
        try:
            fresh(p)
            return False
        except MemoryError:
            pass
        limit(None)
        assert counts(p) == {0.0} and kept
        fresh(p)
        return counts(p) == {1.0}

    done = in_child(child)
    assert done == (True, 0), done
