"""Steps on several threads: the same bits, whoever calls, forks, fails or is interrupted."""

from __future__ import annotations

import signal

import numpy as np
import pytest
import tapeless as tl
from soak.children import in_child, in_threads
from tapeless.runtime.pool import has_pool
from tapeless.runtime.pool_text import TRIED

linux = pytest.mark.skipif(not has_pool(), reason="no pool here")


def work(w, x, rows):
    z = np.tanh(x @ w) + x[rows]
    w -= 1e-3 * (x.T @ z)
    return np.sum(z * z), np.max(z, axis=0)


def arguments():
    rng = np.random.default_rng(0)
    w, x = rng.standard_normal((2, 300, 300)).astype(np.float32)
    return w, x, rng.integers(0, 300, 300)


step = tl.compile(work, threads=3)


def results(function, calls=3):
    """The bytes of all that some calls in a row return and write."""
    w, x, rows = arguments()
    outputs = [np.asarray(r).tobytes() for _ in range(calls) for r in function(w, x, rows)]
    return [*outputs, w.tobytes()]


def test_calls_that_are_timed_have_the_bits_of_one_thread():
    """On all threads, on one, and in the better way."""
    calls = 2 * TRIED + 2
    found = results(tl.compile(work, threads=3), calls)
    assert found == results(tl.compile(work, threads=1), calls)


@pytest.fixture(scope="module")
def expected():
    source = str(step.lower(*arguments()).source())
    assert source.count("split(") >= 2 and "gemm_f32(" in source
    return results(tl.compile(work, threads=1))


@pytest.mark.parametrize("callers", [1, 2, 16])
def test_python_threads_get_the_bits_of_one_thread(expected, callers):
    found = [None] * callers

    def call(k):
        found[k] = results(step)

    in_threads(call, callers)
    assert all(bits == expected for bits in found)


@linux
def test_a_forked_child_gets_the_same_bits(expected):
    assert results(step) == expected
    assert in_child(lambda: results(step) == expected) == (True, 0)
    assert results(step) == expected


def test_a_failed_check_writes_nothing_and_the_next_call_works(expected):
    w, x, rows = arguments()
    before = w.copy()
    rows[-1] = 300
    with pytest.raises(tl.errors.BoundsError, match="out of bounds"):
        step(w, x, rows)
    np.testing.assert_array_equal(w, before)
    assert results(step) == expected


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer")
def test_after_an_interrupt_everything_works(expected):

    def interrupt(*_):
        """Again much later, should this one fall into a callback, from where it goes nowhere."""
        signal.setitimer(signal.ITIMER_REAL, 10)
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    try:
        for k in range(20):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-3 + 1e-4 * k)
                while True:
                    results(step)
            except KeyboardInterrupt:
                signal.setitimer(signal.ITIMER_REAL, 0)
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert interrupted == 20
    assert results(step) == expected


SCRIPT = """
import hashlib, os, sys
import tapeless as tl
from tests.semantics.test_threads import results, work
from tapeless.runtime.store import open_store
threads = int(sys.argv[1])
before = len(os.listdir("/proc/self/task"))
step = tl.compile(work, threads=threads)
bits = hashlib.sha256(b"".join(results(step))).hexdigest()
more = len(os.listdir("/proc/self/task")) - before
print(bits, more, "cache" in {phase.name for phase in step.programs[0].timings().phases})
"""


@linux
def test_processes_share_the_cache_whatever_their_threads(python):
    """And `threads=1` starts none."""
    (one, none, _), (three, two, cached) = (
        python("-c", SCRIPT, threads).split() for threads in ("1", "3")
    )
    assert one == three
    assert (none, two) == ("0", "2")
    assert cached == "True"


def test_a_wrong_variable_is_an_error_of_the_first_call(monkeypatch):
    monkeypatch.setenv("TAPELESS_THREADS", "many")
    with pytest.raises(ValueError, match="TAPELESS_THREADS must be a positive integer such as 2"):
        tl.compile(lambda x: x + 1)(np.ones(3))
    assert tl.compile(lambda x: x + 1, threads=1)(np.ones(1)) == 2
