"""P16. Steps are compiled and called from any thread, and on both sides of a fork."""

from __future__ import annotations

import itertools
import os
import threading

import numpy as np
import pytest
import tapeless as tl
from soak.children import HANGS, in_child, in_threads
from soak.threads import crowd
from tapeless.runtime.making import MAKING, hold_while_forking


def numbers(k):
    return np.random.default_rng(k).normal(size=(40, 30)).astype(np.float32)


def test_threads_compile_and_call_one_step():
    @tl.compile
    def step(w, x):
        w += np.tanh(x)
        return np.sum(x.T @ x)

    expected = [np.sum(numbers(k).T @ numbers(k)) for k in range(4)]

    def work(k):
        x, w = numbers(k), np.zeros((40, 30), np.float32)
        for n in range(1, 200):
            np.testing.assert_allclose(step(w, x), expected[k], rtol=1e-4)
            np.testing.assert_allclose(w, n * np.tanh(x), rtol=1e-3)

    in_threads(work, 4)
    assert len(step.programs) == 1


def test_threads_compile_different_steps():
    def work(k):
        step = tl.compile(lambda x: np.exp(x) * (k + 2))
        np.testing.assert_allclose(step(numbers(k)), np.exp(numbers(k)) * (k + 2), rtol=1e-5)

    in_threads(work, 4)


def test_sixteen_threads_share_functions():
    """Each calls all of them; the long version is `python -m tests.soak threads`."""
    assert crowd(16, 8, seed=0) == 16 * 8


class Interrupted:
    """A lock that is waited for when Ctrl-C comes."""

    def __enter__(self):
        raise KeyboardInterrupt

    def __exit__(self, *_):
        raise AssertionError("it was not entered")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_an_interrupted_fork_leaves_no_lock_behind():
    def child():
        hold_while_forking(MAKING, Interrupted())
        seen = in_child(lambda: True)  # Python reports the interrupt, and goes on
        free = []
        in_threads(lambda _: free.append(MAKING.acquire(timeout=60)), 1)
        return [*seen, *free]

    assert in_child(child) == ([True, 0, True], 0)


def compile_and_drop(stop):
    """Compile programs and throw them away."""
    for k in itertools.count(2):
        if stop.is_set():
            return
        tl.compile(lambda x, k=k: np.tanh(x) * k)(np.ones(3))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("busy", [False, True])
def test_a_forked_child_calls_and_compiles(busy):
    """Also when another thread of the parent is compiling at that moment."""
    step = tl.compile(lambda x: np.sum(x @ x.T))
    x = numbers(0)
    expected = step(x)
    stop = threading.Event()
    thread = threading.Thread(target=compile_and_drop, args=(stop,), daemon=True)
    if busy:
        thread.start()
    for factor in (3, 5, 7):

        def both(n=factor):
            made = tl.compile(lambda x: x * n)(x)
            return bool(step(x) == expected and np.array_equal(made, x * n))

        assert in_child(both) == (True, 0)
    stop.set()
    if busy:
        thread.join(HANGS)
        assert not thread.is_alive(), "compiling hangs"
    assert step(x) == expected
