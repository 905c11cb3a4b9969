"""P4. A call in which an updated argument overlaps another one raises before anything runs; what is
only read may overlap."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from conformance import both_ways
from tapeless import errors


@tl.compile
def add_to(a, b, c):
    a += b * c
    return b


OVERLAPS = {
    "same": lambda m: (m[:4], m[:4]),
    "shifted": lambda m: (m[:4], m[3:7]),
    "reversed": lambda m: (m[:4], m[4::-1][:4]),
    "strided": lambda m: (m[0:8:2], m[2:6]),
}


@both_ways
@pytest.mark.parametrize("which", OVERLAPS)
def test_an_overlap_with_an_updated_argument_raises_before_anything_runs(how, which):
    memory = np.arange(9.0)
    a, b = OVERLAPS[which](memory)
    for args in ((a, b, np.ones(4)), (a, np.ones(4), b)):
        with pytest.raises(errors.AliasError, match=r"argument a is updated .* argument [bc] "):
            how(add_to)(*args)
    np.testing.assert_array_equal(memory, np.arange(9.0))


@both_ways
def test_neighbours_and_read_only_overlaps_are_fine(how):
    memory = np.arange(12.0)
    how(add_to)(memory[:4], memory[4:8], memory[5:9])
    how(add_to)(memory[0:8:2], memory[8:], memory[8:])
    assert memory.tolist() == [84, 31, 125, 59, 104, 5, 127, 7, 8, 9, 10, 11]


@both_ways
def test_an_array_without_axes_overlaps_as_others_do(how):
    """Also when calls before have run."""
    step = tl.compile(lambda w, s: np.multiply(w, s, out=w)[0])
    memory, apart = np.arange(3.0), np.array(2.0)
    for _ in range(3):
        how(step)(memory, apart)
        with pytest.raises(errors.AliasError, match="argument w is updated"):
            how(step)(memory, memory[1:2].reshape(()))
    assert memory.tolist() == [0, 8, 16]


# --- random patterns ------------------------------------------------------------------------


def random_view(random, memory):
    """A 2 x 3 view of the memory with any strides, negative ones, zeros and ones that overlap."""
    while True:
        steps = random.integers(-4, 8, 2)
        reach = np.array([1, 2]) * steps
        start = random.integers(0, len(memory))
        low, high = start + np.minimum(reach, 0).sum(), start + np.maximum(reach, 0).sum()
        if low >= 0 and high < len(memory):
            return np.lib.stride_tricks.as_strided(memory[start:], (2, 3), 8 * steps)


@both_ways
def test_random_overlaps_raise_or_are_right(how):
    """500 patterns: of three views of one memory the first is updated."""
    random, raised = np.random.default_rng(0), 0
    for _ in range(500):
        memory = np.arange(40.0)
        places = [random_view(random, np.arange(40)) for _ in range(3)]
        views = [
            np.lib.stride_tricks.as_strided(memory[p[0, 0] :], p.shape, p.strides) for p in places
        ]
        written = set(places[0].ravel())
        shared = any(written & set(p.ravel()) for p in places[1:])
        before = [v.copy() for v in views]
        if shared:
            raised += 1
            with pytest.raises(errors.AliasError):
                how(add_to)(*views)
            np.testing.assert_array_equal(memory, np.arange(40.0))
            continue
        found = how(add_to)(*views)
        expected = np.arange(40.0)
        np.lib.stride_tricks.as_strided(expected[places[0][0, 0] :], (2, 3), views[0].strides)[
            ...
        ] = before[0] + before[1] * before[2]
        np.testing.assert_array_equal(memory, expected)
        np.testing.assert_array_equal(found, before[1])
    assert 150 < raised < 450
