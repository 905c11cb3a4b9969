"""Sliding windows in a step: NumPy's shapes, views and errors."""

import numpy as np
import pytest
import tapeless as tl
from conformance import conforms, run_traced
from numpy.lib.stride_tricks import sliding_window_view
from tapeless import errors


def numbers(*shape):
    return np.arange(np.prod(shape, dtype=float)).reshape(shape)


@pytest.mark.parametrize(
    ("shape", "window", "axis"),
    [
        ((7,), 3, None),
        ((4, 5), (2, 3), None),
        ((4, 5), 3, 1),
        ((4, 5), (2, 2), (1, 0)),
        ((2, 3, 6), (3, 2), (-1, 1)),
        ((4, 8), (3, 2), (1, 1)),
        ((5,), (5,), 0),
        ((0, 5), 2, 1),
    ],
)
def test_is_numpys(shape, window, axis):
    conforms(lambda x: sliding_window_view(x, window, axis=axis), numbers(*shape))
    x = numbers(*shape)
    compiled = tl.compile(lambda x: sliding_window_view(x, window, axis=axis) * 2)
    np.testing.assert_array_equal(compiled(x), sliding_window_view(x, window, axis=axis) * 2)


def test_steps_of_any_sign_between_and_inside_windows():
    x = numbers(3, 11)

    def step(x):
        w = sliding_window_view(x[::-1], 4, axis=1)
        return w[:, 1::3, ::2] + 1, w[:, ::-2, 1:3] * 2, w[1, 2], w[..., 0], w[:, 3:3] + 0

    conforms(step, x)
    for found, expected in zip(tl.compile(step)(x), step(x), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_windows_see_what_is_written_to_the_array_below():
    def step(x):
        w = sliding_window_view(x, 2)
        before = w.copy()
        x[1] += 10
        return before, w * 1

    conforms(step, numbers(4))


def test_windows_of_part_of_a_transposed_array_see_it_too():
    def step(x):
        w = sliding_window_view(x.T[1:], (2, 2))
        x[0, 1:] = -1
        return np.sum(w, axis=(2, 3))

    conforms(step, numbers(4, 5))


def test_they_are_read_only():
    def written(x):
        w = sliding_window_view(x, 2)
        w[0] = 1

    def added(x):
        w = sliding_window_view(x, 2)
        w += 1

    for step in (written, added):
        with pytest.raises(errors.ReadOnlyError, match=r"sliding_window_view is read-only.*copy"):
            run_traced(step, numbers(4))
    with pytest.raises(errors.UnsupportedError, match="overlap"):
        run_traced(lambda x: sliding_window_view(x, 2, writeable=True), numbers(4))


@pytest.mark.parametrize(
    ("window", "axis", "words"),
    [
        (5, None, r"window \(5,\) does not fit"),
        ((2, 2), None, "differ in number"),
        ((3, 3), (0, 0), "does not fit axes"),
        (2, 1, "out of bounds"),
        (0, None, "does not fit"),
    ],
)
def test_what_does_not_fit_is_refused_at_the_users_line(window, axis, words):
    with pytest.raises(errors.ShapeError, match=rf"{words}.*test_trace_windows\.py"):
        run_traced(lambda x: sliding_window_view(x, window, axis=axis) + 0, numbers(4))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reductions_of_windows_and_their_gradients(dtype):
    x = np.random.default_rng(0).standard_normal((3, 9)).astype(dtype)

    def loss(x):
        w = sliding_window_view(np.tanh(x), 3, axis=1)[:, ::2]
        return np.sum(np.max(w, axis=-1) * np.sum(w, axis=-1))

    step = tl.compile(tl.value_and_grad(loss))
    for found, expected in zip(step(x), step.interpret(x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == np.float32 else 1e-12)
    if dtype == np.float64:
        tl.check_grads(loss, (x,), order=2)


def test_reductions_need_no_copy_of_the_windows():
    program = tl.compile(lambda x: np.max(sliding_window_view(x, 3) * 2, axis=1)).lower(numbers(9))
    assert [n.op.name for n in program.graph("planned").nodes] == ["fused"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [257, 300])
def test_long_kernels_meet_no_array_of_all_windows(size, dtype):
    """Values, what is not finite and derivatives of convolutions by more than a few numbers."""
    rng = np.random.default_rng(size)
    x, k = rng.normal(size=400).astype(dtype), rng.normal(size=size).astype(dtype)
    special = x.copy()
    special[[0, 150]] = np.inf, np.nan

    def step(x, k):
        strided = sliding_window_view(x, size)[::3] @ k
        return np.convolve(x, k), np.correlate(x, k), strided, np.convolve(x, k, "same")

    compiled = tl.compile(step)
    with np.errstate(all="ignore"):
        for given in x, special:
            for found, wanted in zip(compiled(given, k), step(given, k), strict=True):
                assert found.dtype == wanted.dtype
                bound = size * np.finfo(dtype).eps
                np.testing.assert_allclose(found, wanted, rtol=4 * bound, atol=4 * bound)
    nodes = compiled.lower(x, k).graph("planned").nodes
    assert max(v.type.size for node in nodes for v in node.results) < 4 * x.size
    if dtype == np.float64:
        v = rng.normal(size=x.size - size + 1)
        tl.check_grads(lambda x, k: np.sum(np.correlate(x, k) ** 2 * v), (x, k), order=1)
