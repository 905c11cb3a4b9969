"""A differentiated function writes arrays it is not differentiated with respect to: once, with the
values NumPy gives, whoever runs it. Those it is differentiated with respect to are locked."""

import numpy as np
import pytest
import tapeless as tl
from tapeless import errors

X = np.linspace(-1, 2, 12).reshape(4, 3)
W = np.linspace(0.5, 1.5, 3)


def loss(w, stats, x):
    """Writes the mean of h into the statistics by a view, counts, and reads what it wrote."""
    h = np.tanh(x * w)
    mean = stats["mean"]
    mean *= 0.9
    mean[:] += 0.1 * np.mean(h, axis=0)
    stats["count"] += 1
    return np.sum(h * h) + np.sum(mean * w) * stats["count"]


def statistics():
    return {"mean": np.array([1.0, -2.0, 3.0]), "count": np.zeros((), np.int64)}


def by_value_and_grad(w, stats, x):
    return tl.value_and_grad(loss)(w, stats, x)


def by_closure(w, stats, x):
    return tl.value_and_grad(lambda v: loss(v, stats, x))(w)


def by_jacobian(w, stats, x):
    return tl.jacobian(loss)(w, stats, x)


def by_jvp(w, stats, x):
    return tl.jvp(lambda v: loss(v, stats, x), (w,), (np.ones_like(w),))


def by_vjp(w, stats, x):
    out, pull = tl.vjp(lambda v: loss(v, stats, x), w)
    stats["mean"] += 100  # after the call: the derivative is that of the call
    result = out, pull(1.0)
    stats["mean"] -= 100
    return result


def by_hessian(w, stats, x):
    return tl.hessian(loss)(w, stats, x)


def numeric(f, w, step=1e-5):
    shifts = step * np.eye(3)
    return np.stack([(f(w + e) - f(w - e)) / (2 * step) for e in shifts], axis=-1)


def plain(w):
    return loss(w, statistics(), X)


GRADIENT = numeric(plain, W)
EXPECTED = {
    by_value_and_grad: (plain(W), GRADIENT),
    by_closure: (plain(W), GRADIENT),
    by_jacobian: GRADIENT,
    by_jvp: (plain(W), GRADIENT.sum()),
    by_vjp: (plain(W), (GRADIENT,)),
    by_hessian: numeric(lambda w: numeric(plain, w, 1e-4), W, 1e-4),
}
RUNS = {
    "interpreted": lambda step, *args: tl.compile(step).interpret(*args),
    "compiled": lambda step, *args: tl.compile(step)(*args),
}
EAGER = [by_value_and_grad, by_jacobian, by_hessian]


def check(found, expected, stats, calls=1):
    left = statistics()
    for _ in range(calls):
        loss(W, left, X)
    np.testing.assert_allclose(stats["mean"], left["mean"], rtol=1e-12)
    assert stats["count"] == calls
    for a, b in zip(tl.tree.leaves(found), tl.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("step", EXPECTED)
def test_written_once_with_the_values_of_numpy(step, run):
    stats = statistics()
    check(RUNS[run](step, W, stats, X), EXPECTED[step], stats)


@pytest.mark.parametrize("step", EAGER)
def test_eagerly_too(step):
    stats = statistics()
    check(step(W, stats, X), EXPECTED[step], stats)


def test_structured_derivatives_too():
    stats = statistics()
    found = tl.hessian(loss, structured=True)(W, stats, X)
    check(found.dense(), EXPECTED[by_hessian], stats)


@pytest.mark.parametrize("run", RUNS)
def test_every_call_writes_in_turn(run):
    def step(w, stats, x):
        value = loss(w, stats, x)
        stats["mean"] *= 2
        gradient = tl.grad(loss)(w, stats, x)
        loss(w, stats, x)
        return value, gradient

    stats, wanted = statistics(), statistics()
    RUNS[run](step, W, stats, X)
    loss(W, wanted, X)
    wanted["mean"] *= 2
    loss(W, wanted, X)
    loss(W, wanted, X)
    np.testing.assert_allclose(stats["mean"], wanted["mean"], rtol=1e-12)
    assert stats["count"] == 3


def test_an_inner_derivative_writes_an_array_of_the_outer_function():
    def inner(v, total):
        total += v * v
        return np.sum(v**3)

    def outer(w):
        total = np.zeros_like(w)
        slope = tl.grad(inner)(np.sin(w), total)
        return np.sum(slope * total)  # 3 sin(w)^4

    expected = 12 * np.sin(W) ** 3 * np.cos(W)
    np.testing.assert_allclose(tl.grad(outer)(W), expected, rtol=1e-12)
    np.testing.assert_allclose(tl.compile(tl.grad(outer))(W), expected, rtol=1e-12)


def test_the_lock_ends_with_the_call():
    def step(w):
        g = tl.grad(lambda v: np.sum(v * v))(w)
        w -= 0.1 * g

    w = W.copy()
    tl.compile(step)(w)
    np.testing.assert_allclose(w, 0.8 * W, rtol=1e-15)


def the_array_itself(w):
    def f(v):
        w[0] = 1
        return np.sum(v)

    return tl.grad(f)(w)


def a_view_of_it(w):
    row = w[1:]

    def f(v):
        row[...] = 0
        return np.sum(v)

    return tl.grad(f)(w)


def in_a_nested_call(w):
    def g(u, v):
        v += 1
        return np.sum(u)

    return tl.grad(lambda v: np.sum(tl.grad(g)(np.ones_like(v), v)))(w)


def perhaps_the_same_memory(w):
    flat = w.reshape(-1)

    def f(v):
        flat[0] = 1
        return np.sum(v)

    return tl.grad(f)(w)


@pytest.mark.parametrize("step", [the_array_itself, a_view_of_it, in_a_nested_call])
def test_what_is_differentiated_is_locked(step):
    with pytest.raises(errors.TraceError, match=r"is being differentiated and must not be"):
        tl.compile(step).interpret(W.copy())


def test_what_may_share_its_memory_is_locked():
    with pytest.raises(errors.TraceError, match=r"is being differentiated and must not be"):
        tl.compile(perhaps_the_same_memory).interpret(np.asfortranarray(X))


def test_vjp_outside_a_trace_locks_before_it_computes():
    def f(w):
        w *= 2
        return w

    w = W.copy()
    with pytest.raises(errors.TraceError, match=r"is being differentiated"):
        tl.vjp(f, w)
    np.testing.assert_array_equal(w, W)


def test_outside_a_trace_arguments_are_checked_before_anything_is_written():
    stats = statistics()
    stats["mean"].flags.writeable = False
    with pytest.raises(errors.ReadOnlyError, match=r"stats\['mean'\]"):
        tl.grad(loss)(W, stats, X)
    assert stats["count"] == 0
    shared = np.ones(3)
    with pytest.raises(errors.AliasError, match=r"overlaps"):
        tl.grad(loss)(shared, statistics() | {"mean": shared}, X)
    np.testing.assert_array_equal(shared, np.ones(3))
