"""P3. A call is all or nothing: inside it statements keep their order, an error comes before any
write, and no kernel reads what another one has overwritten."""

from __future__ import annotations

import numpy as np
import pytest
import tapeless as tl
from conformance import both_ways


@tl.compile
def train(p, state, x, rows):
    """Updates in place, rebinds a slot, counts, and reads `p` at run-time indices last."""
    state["steps"] += 1
    p["b"] = p["b"] * 0.5
    p["w"] *= 2
    p["w"][rows] += x
    return np.sum(p["w"][rows])


def training():
    p = {"w": np.arange(6.0).reshape(3, 2), "b": np.ones(2)}
    return p, {"steps": np.zeros((), np.int64)}, np.ones((2, 2))


@both_ways
@pytest.mark.parametrize("bad", [3, -4, 2**40])
def test_an_index_error_comes_before_any_write(how, bad):
    run = how(train)
    p, state, x = training()
    held = p["w"], p["b"]
    for rows in ([0, bad], [bad, 0]):
        with pytest.raises(IndexError):
            run(p, state, x, np.array(rows))
        fresh, _, _ = training()
        np.testing.assert_array_equal(p["w"], fresh["w"])
        np.testing.assert_array_equal(p["b"], fresh["b"])
        assert p["w"] is held[0] and p["b"] is held[1] and state["steps"] == 0
    run(p, state, x, np.array([0, 2]))
    assert p["w"].tolist() == [[1, 3], [4, 6], [9, 11]]
    assert p["b"].tolist() == [0.5, 0.5] and state["steps"] == 1


@both_ways
def test_statements_keep_their_order_and_the_caller_sees_the_end(how):
    @tl.compile
    def step(a, b):
        before = a.copy()
        a[1:] += a[:-1]
        b -= a
        a[::-1] = b
        return before, a[0]

    def plain(a, b):
        return step.function(a, b)

    a, b = np.arange(5.0), np.ones(5)
    c, d = a.copy(), b.copy()
    found, expected = how(step)(a, b), plain(c, d)
    np.testing.assert_array_equal(a, c)
    np.testing.assert_array_equal(b, d)
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1] == expected[1]


@both_ways
@pytest.mark.parametrize("shift", [0, 1, -1])
def test_a_transposed_update_never_reads_what_it_has_written(how, shift):
    @tl.compile
    def step(a):
        a += np.roll(a, shift, axis=0).T

    a = np.arange(2500.0).reshape(50, 50)
    expected = a + np.roll(a, shift, axis=0).T
    how(step)(a)
    np.testing.assert_array_equal(a, expected)
