"""`from tapeless import numpy as np`: NumPy outside a trace; inside, what plain NumPy cannot do."""

import copy

import numpy
import pytest
import tapeless as tl
from conformance import run_traced, same
from tapeless import numpy as np
from tapeless.compiler.trace import trace

X = numpy.random.default_rng(0).uniform(0.2, 0.9, (3, 4))
V, W = X[0] + 1, X[1] - 1
COLUMNS = numpy.array([1, 3, 0])
TABLE = numpy.arange(12.0).reshape(4, 3)


def both(fn, *args, exact=True):
    """`fn` outside a trace is what NumPy makes of it; traced and compiled it gives the same."""
    plain, traced, compiled = (copy.deepcopy(args) for _ in range(3))
    expected = fn(*plain)
    same(run_traced(fn, *traced), expected, exact=exact)
    same(traced, plain, exact=exact)
    same(tl.compile(fn)(*compiled), expected, exact=False)
    same(compiled, plain, exact=False)


def written(x, v):
    buffer = np.zeros((3, 4))
    buffer[1] = v
    buffer[:, 2] += x[:, 0]
    shared = buffer
    shared *= 2
    states = [np.ones(4, dtype=np.float32) for _ in range(2)]
    states[0] += v
    total = np.array(0.0)
    total += x.sum()
    return buffer, states, total


def in_a_dict(x, v):
    grads = {"b": np.zeros_like(V)}
    for row in x:
        grads["b"] += row * v
    return grads


def indexed(x, v, columns):
    return np.eye(4)[columns], np.asarray(TABLE)[columns], np.arange(10, 50, 10)[columns], x


def nested_lists(x, v):
    s = x[0, 0]
    return (
        np.array([s, 2.0]), np.array([[s, 1], [v[0], s]]), np.array([v, [1, 2, 3, 4]]),
        np.asarray([row * 2 for row in x]), np.sum([v, v * 2], axis=0), np.max([s, v[1]]),
        np.array([]).shape, np.array([x, x]).mean(axis=0),
    )  # fmt: skip


def joined(x, v):
    return (
        np.c_[v, v * 2], np.c_[x, np.ones(3)], np.r_[v, 0, v[:2]], np.r_[0:2, v], np.r_[1:3],
        np.r_[v.astype(np.float32), 1.0],
    )  # fmt: skip


def converted(x, v):
    return np.float32(x[0, 0]), np.int64(v), np.float64(1) * x, x.astype(np.float32), np.float32(2)


def constants_are_still_numbers(x, v):
    steps = np.arange(3)
    rows = [x[k] * float(k + 1) for k in steps]
    if np.zeros(2).sum() == 0 and 2 in steps:
        rows.append(x[: steps[2], 0].sum() * [5, 6, 7][steps[1]])
    return rows, x[np.int64(1)], f"{np.ones(1)[0]:.1f}", np.arange(3).tolist(), steps[1].item()


def elsewhere(x, v):
    return np.linalg.norm([x[0, 0], v[1]]), np.pi * v, np.add.reduce(x), np.hstack([v, x[0, 0]])


@pytest.mark.parametrize(
    "fn", [written, in_a_dict, nested_lists, joined, converted, elsewhere], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("dtype", [numpy.float32, numpy.float64])
def test_a_step_written_with_it_gives_what_numpy_gives(fn, dtype):
    both(fn, X.astype(dtype), V.astype(dtype), exact=fn is not elsewhere)


def test_tables_are_indexed_with_traced_integers():
    both(indexed, X, V, COLUMNS)


def test_arrays_without_traced_values_convert_to_python_numbers():
    same(run_traced(constants_are_still_numbers, X, V), constants_are_still_numbers(X, V))


def test_a_written_buffer_has_a_gradient():
    def loss(x, v):
        states = np.zeros((4, 3))
        for t in range(3):
            states[:, t] = np.tanh(x[t] * v) + (states[:, t - 1] if t else 0)
        return np.sum(states**2 * np.array([v.sum(), 1.0, 2.0]))

    tl.check_grads(loss, (X, V))
    compiled = tl.compile(tl.grad(loss))
    numpy.testing.assert_allclose(compiled(X, V), tl.grad(loss)(X, V), rtol=1e-12)


def test_outside_a_trace_numpy_is_called():
    assert np.zeros(3).__class__ is numpy.ndarray and np.float32(2).__class__ is numpy.float32
    assert np.add is numpy.add and np.ndarray is numpy.ndarray and np.pi == numpy.pi
    assert np.dtype(np.float32) == numpy.float32 == np.float32 and hash(np.int64) == hash(
        numpy.int64
    )
    assert isinstance(numpy.float32(1), np.float32) and np.issubdtype(numpy.float32, np.float32)
    assert not np.issubdtype(np.float64, np.float32) and repr(np.int8) == repr(numpy.int8)
    assert np.sum.__doc__ == numpy.sum.__doc__ and dir(np) == dir(numpy)
    assert np.random.default_rng(0).normal() == numpy.random.default_rng(0).normal()
    assert 0 <= np.random.uniform() <= 1 and np.median(X) == numpy.median(X)
    numpy.testing.assert_array_equal(np.c_[V, W], numpy.c_[V, W])
    windows = np.lib.stride_tricks.sliding_window_view
    numpy.testing.assert_array_equal(
        windows(V, 2), numpy.lib.stride_tricks.sliding_window_view(V, 2)
    )
    with pytest.raises(AttributeError):
        np.no_such_function  # noqa: B018


def test_what_numpy_computes_from_concrete_values_stays_concrete():
    seen = []

    def step(x):
        seen.extend([np.prod(x.shape), np.array(["a"])])
        return x * np.sqrt(2 / 3)

    trace(step, (X,), {})
    assert [type(value) for value in seen] == [numpy.int64, numpy.ndarray]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda x: np.random.normal(size=3) * x[0, 0], r"np\.random\.normal.*draw with tl\.random"),
        (lambda x: np.asarray(TABLE).__setitem__(0, x[0, 0]), r"change a copy, np\.array\(C\)"),
        (lambda x: np.arange(x[0, 0]), r"np\.arange with a traced bound"),
        (lambda x: np.array([x, x[0]]), r"shapes \(3, 4\), \(4,\) is not an array"),
        (lambda x: np.sort(x[x > 0]), r"use np\.where\(mask, x, 0\)"),
        (lambda x: x.__setitem__(x > 0, x[x < 0]), r"depends on the data"),
        (lambda x: np.copyto(TABLE, x[0, 0]), r"concrete array of shape \(4, 3\)"),
        (lambda x: np.unique(x), r"np\.unique is not supported"),
    ],
)
def test_what_a_trace_cannot_do_says_so(step, message):
    with pytest.raises(tl.errors.TapelessError, match=message):
        trace(step, (X,), {})


def test_constants_are_short_in_the_graph():
    def step(x):
        return np.eye(50)[0] * x + np.arange(5, 105, 2) + np.zeros(50)

    text = str(trace(step, (numpy.ones(50),), {}).graph)
    assert len(text) < 1500 and text.count("iota") == 3, text


def test_asarray_returns_the_traced_array_itself():
    def step(x):
        view, copied = np.asarray(x), np.array(x)
        rows = np.ascontiguousarray(x.T)
        view += 1
        copied += 5
        rows += 7
        return copied, rows

    both(step, X)
