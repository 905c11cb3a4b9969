"""Ctrl-C finds the arrays of a step between two steps, however the call writes them."""

import signal

import numpy as np
import pytest
import tapeless as tl

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timer")


@tl.compile
def step(p, d):
    for name in p:
        p[name] += d


def contiguous():
    return {name: np.zeros(50) for name in "abcdefgh"}


def mixed():
    """Every second array needs a copy."""
    return {
        name: np.zeros(100)[::2] if k % 2 else np.zeros(50) for k, name in enumerate("abcdefgh")
    }


def interrupted(run, p, seconds):
    """Call the step until an interrupt comes after so many seconds. The timer goes on: an interrupt
    that falls into a callback of the garbage collector is reported there and goes nowhere."""
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.1)
        while True:
            run(p, 1.0)
    except KeyboardInterrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.mark.parametrize(
    ("run", "make"),
    [(step, contiguous), (step, mixed), (step.interpret, contiguous), (step.interpret, mixed)],
    ids=["native", "copied", "interpreted", "interpreted-copied"],
)
def test_an_interrupt_leaves_the_arrays_between_two_steps(run, make):
    p = make()
    run(p, 1.0)
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for k in range(200):
            interrupted(run, p, 1e-3 + 7e-6 * k)
            counts = {count for array in p.values() for count in array.tolist()}
            assert len(counts) == 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert counts != {1.0}
