"""P16. Steps are compiled and called from any thread, and on both sides of a fork."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time

import numpy as np
import pytest
import tapeless as tl
from soak.threads import crowd, run_threads


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

    run_threads(work, 4)
    assert len(step.programs) == 1


def test_threads_compile_different_steps():
    def work(k):
        step = tl.compile(lambda x: np.exp(x) * (k + 2))
        np.testing.assert_allclose(step(numbers(k)), np.exp(numbers(k)) * (k + 2), rtol=1e-5)

    run_threads(work, 4)


def test_sixteen_threads_share_functions():
    """Each calls all of them; the long version is `python -m tests.soak threads`."""
    assert crowd(16, 8, seed=0) == 16 * 8


def exit_code(child):
    """The exit code of a forked process; fails when it hangs."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    pytest.fail("the child hangs")


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
        child = os.fork()
        if child == 0:
            code = 2
            try:
                made = tl.compile(lambda x, n=factor: x * n)(x)
                code = int(step(x) != expected or not np.array_equal(made, x * factor))
            finally:
                os._exit(code)
        assert exit_code(child) == 0
    stop.set()
    if busy:
        thread.join(timeout=30)
    assert step(x) == expected
