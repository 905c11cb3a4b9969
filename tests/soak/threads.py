"""Many threads that compile and call many functions, and forks among them."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import tapeless as tl

from soak.children import HANGS, in_threads


def functions(count: int) -> list[Callable[[Any], Any]]:
    """Functions no two of which share code."""

    def made(k: int) -> Callable[[Any], Any]:
        return lambda x: (np.tanh(x) * (k + 2.5), np.sum(x * (k + 1)), x @ x.T + k)

    return [made(k) for k in range(count)]


def crowd(threads: int, count: int, seed: int, seconds: float = HANGS) -> int:
    """All threads call all functions, each in its own order, whoever comes first compiles; the
    number of calls."""
    plain = functions(count)
    steps = [tl.compile(f) for f in plain]
    calls = [0] * threads

    def work(k: int) -> None:
        x = np.random.default_rng(k).normal(size=(5, 7))
        order = list(range(count))
        random.Random(f"{seed} {k}").shuffle(order)
        for n in order:
            for found, expected in zip(steps[n](x), plain[n](x), strict=True):
                np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
            calls[k] += 1

    in_threads(work, threads, seconds)
    assert all(len(step.programs) == 1 for step in steps)
    return sum(calls)
