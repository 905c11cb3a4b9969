"""P5. Outputs share memory with nothing, and only updated arguments are written."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tapeless as tl
from conformance import both_ways
from soak.functions import GROUPS, matrices, together


@both_ways
def test_outputs_share_no_memory_with_anything(how):
    @tl.compile
    def step(p, x):
        p["w"] += 1
        return {"w": p["w"], "x": x, "again": x, "view": x.T, "part": x[0], "new": x + 1}

    p, x = {"w": np.zeros(3)}, np.arange(6.0).reshape(2, 3)
    first, second = how(step)(p, x), how(step)(p, x)
    arrays = [p["w"], x, *tl.tree.leaves(first), *tl.tree.leaves(second)]
    for a, b in itertools.combinations(arrays, 2):
        assert not np.shares_memory(a, b)
    for a in arrays:
        a[...] = -1
    assert how(step)(p, x)["new"].tolist() == [[0, 0, 0], [0, 0, 0]]


@both_ways
def test_only_updated_arguments_are_written(how):
    @tl.compile
    def step(w, x, y):
        x = x * 2
        x -= y
        w -= x

    w, x, y = np.ones(3), np.ones(3), np.full(3, 4.0)
    x.flags.writeable = y.flags.writeable = False
    how(step)(w, x, y)
    assert (w.tolist(), x.tolist(), y.tolist()) == ([3] * 3, [1] * 3, [4] * 3)


# --- every byte around the arguments --------------------------------------------------------


def guarded(array):
    """A copy of the array in the middle of a memory of random bytes, and that memory."""
    memory = np.random.default_rng(0).integers(0, 256, array.nbytes + 256).astype(np.uint8)
    inner = memory[128:-128].view(array.dtype).reshape(array.shape)
    inner[...] = array
    return inner, memory


@both_ways
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("names", GROUPS, ids=lambda names: names[0])
def test_no_byte_changes_but_those_of_updated_arguments(names, dtype, how):
    compute = together(names)

    @tl.compile
    def step(w, x, y):
        results = compute(x, y)
        w += x
        return results

    x, y = matrices(dtype)
    (w, around_w), (x, around_x), (y, around_y) = map(guarded, (y, x, y))
    expected = w + x
    before = [m.copy() for m in (around_w, around_x, around_y)]
    for _ in range(2):
        results = tl.tree.leaves(how(step)(w, x, y))
        np.testing.assert_array_equal(w, expected)
        w[...] = y
        for memory, old in zip((around_w, around_x, around_y), before, strict=True):
            np.testing.assert_array_equal(memory, old)
        for result in results:
            assert not any(np.shares_memory(result, a) for a in (w, x, y))
            result[...] = 1
