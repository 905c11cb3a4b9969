"""Pooling against explicit loops: values and gradients, interpreted and compiled."""

import numpy as np
import pytest
import tapeless as tl
from loops import pooled
from tapeless.ir.errors import DTypeError, ShapeError, UnsupportedError

nn = tl.nn
NAN, INF = np.nan, np.inf
LIMIT = {np.float32: 2e-6, np.float64: 1e-13}
CASES = [
    # input, kernel, stride, padding, dilation
    ((2, 3, 6, 8), (2, 2), (2, 2), (0, 0), (1, 1)),
    ((2, 2, 7, 6), (3, 2), (2, 1), (1, 1), (1, 1)),
    ((1, 2, 5, 5), (3, 3), (1, 3), (1, 0), (1, 1)),
    ((2, 2, 7, 8), (2, 3), (1, 2), (1, 2), (2, 2)),
    ((2, 1, 4, 3), (4, 3), (1, 1), (0, 0), (1, 1)),
]


def numbers(shape, dtype=np.float64):
    """Numbers of which many are equal."""
    return np.random.default_rng(0).integers(-3, 4, shape).astype(dtype)


def both(fn):
    compiled = tl.compile(fn)
    return compiled, compiled.interpret


def close(found, expected, dtype):
    assert found.dtype == dtype and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=LIMIT[dtype], atol=LIMIT[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["max", "avg"])
def test_equals_a_loop_and_so_does_the_gradient(kind, case, dtype):
    shape, size, stride, padding, dilation = case
    if kind == "avg":
        dilation, padding = (
            (1, 1),
            tuple(min(p, k // 2) for p, k in zip(padding, size, strict=True)),
        )
    options = {"stride": stride, "padding": padding}
    options |= {"dilation": dilation} if kind == "max" else {}
    pool = {"max": nn.max_pool2d, "avg": nn.avg_pool2d}[kind]
    x = numbers(shape, dtype)
    g = np.random.default_rng(1).standard_normal(pool(x, size, **options).shape).astype(dtype)
    expected, gradient = pooled(kind, x.astype(np.float64), g, size, stride, padding, dilation)

    def step(x, g):
        y, back = tl.vjp(lambda x: pool(x, size, **options), x)
        return y, back(g)[0]

    close(pool(x, size, **options), expected, dtype)
    for run in both(step):
        y, gx = run(x, g)
        close(y, expected, dtype)
        close(gx, gradient, dtype)


@pytest.mark.parametrize(("kind", "pool"), [("max", nn.max_pool1d), ("avg", nn.avg_pool1d)])
def test_one_axis(kind, pool):
    x = numbers((2, 3, 9))
    expected, gradient = pooled(kind, x[:, :, None], None, (1, 3), (1, 2), (0, 1))
    for run in both(lambda x: (pool(x, 3, 2, 1), tl.grad(lambda x: np.sum(pool(x, 3, 2, 1)))(x))):
        y, gx = run(x)
        close(y, expected[:, :, 0], np.float64)
        close(gx, gradient[:, :, 0], np.float64)
    close(pool(x[0], 3, 2, 1), expected[0, :, 0], np.float64)


def test_derivatives_of_first_and_second_order():
    x = np.random.default_rng(0).permutation(60).reshape(1, 2, 5, 6) / 10.0
    for pool in (nn.max_pool2d, nn.avg_pool2d):
        tl.check_grads(lambda x, f=pool: np.sum(np.sin(f(x, 3, 2, 1))), (x,), order=2)


def test_derivatives_of_strided_windows_that_overlap_are_added_in_one_pass():
    program = tl.compile(tl.grad(lambda x: np.sum(nn.max_pool2d(x, 3, 2, 1)))).lower(
        numbers((2, 8, 8))
    )
    names = [node.op.name for node in program.graph("planned").nodes]
    assert names.count("scatter_add") == 1 and "add_at" not in names


def test_a_tie_goes_to_the_first_and_a_nan_wins():
    x = np.array([[[1.0, 3.0, 3.0, 0.0, NAN, 5.0]]])
    for run in both(tl.grad(lambda x: np.sum(nn.max_pool1d(x, 3)))):
        np.testing.assert_array_equal(run(x), [[[0, 1, 0, 0, 1, 0]]])
        np.testing.assert_array_equal(run(x[..., [4, 1, 4, 5, 4, 4]]), [[[1, 0, 0, 0, 1, 0]]])
    for run in both(lambda x: nn.max_pool1d(x, 3)):
        np.testing.assert_array_equal(run(x), [[[3, NAN]]])


def test_windows_too_large_to_be_taken_apart():
    x = numbers((1, 2, 11, 10))
    for kind, pool in (("max", nn.max_pool2d), ("avg", nn.avg_pool2d)):
        g = np.ones(pool(x, 5, 3, 2).shape)
        expected, gradient = pooled(kind, x, g, (5, 5), (3, 3), (2, 2))
        for run in both(
            lambda x, f=pool: (f(x, 5, 3, 2), tl.grad(lambda x: np.sum(f(x, 5, 3, 2)))(x))
        ):
            y, gx = run(x)
            close(y, expected, np.float64)
            close(gx, gradient, np.float64)


def test_padding_never_wins():
    low = np.full((1, 1, 3, 3), -INF)
    whole = np.full((1, 1, 2, 2), np.iinfo(np.int32).min, np.int32)
    for x in (low, whole):
        for run in both(lambda x: nn.max_pool2d(x, 3, 1, 1, return_indices=True)):
            values, indices = run(x)
            assert values.dtype == x.dtype and np.all(values == x.flat[0])
            assert indices.min() >= 0 and indices.max() < x.size
    g = tl.grad(lambda x: np.sum(nn.max_pool2d(x, 3, 1, 1)))(low)
    assert np.sum(g) == 9  # none of it is lost in the padding


def test_indices_are_places_in_the_input():
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 6))
    for run in both(lambda x: nn.max_pool2d(x, 3, 2, 1, return_indices=True)):
        values, indices = run(x)
        flat = x.reshape(2, 3, 42)
        picked = np.take_along_axis(flat, indices.reshape(2, 3, -1), 2)
        np.testing.assert_array_equal(picked.reshape(values.shape), values)


def test_what_an_average_counts():
    x = np.ones((1, 1, 5))
    third = 2 / 3
    np.testing.assert_allclose(nn.avg_pool1d(x, 3, 1, 1)[0, 0], [third, 1, 1, 1, third])
    np.testing.assert_array_equal(nn.avg_pool1d(x, 3, 1, 1, False, False), x)
    y = nn.avg_pool2d(np.ones((1, 1, 4, 4)), 2, divisor_override=8)
    np.testing.assert_array_equal(y, np.full((1, 1, 2, 2), 0.5))


def test_a_last_window_may_hang_over_but_not_start_behind_the_input():
    x = np.arange(1.0, 7.0)[None, None]
    np.testing.assert_array_equal(nn.max_pool1d(x, 4, 4, ceil_mode=True), [[[4, 6]]])
    np.testing.assert_array_equal(nn.avg_pool1d(x, 4, 4, ceil_mode=True), [[[2.5, 5.5]]])
    np.testing.assert_array_equal(nn.max_pool1d(x, 2, 4, 1, ceil_mode=True), [[[1, 5]]])
    np.testing.assert_array_equal(nn.max_pool1d(x, 4, 8, dilation=2, ceil_mode=True), [[[5]]])
    np.testing.assert_array_equal(nn.max_pool1d(x[..., :2], 1, 2, ceil_mode=True), [[[1]]])


def test_adaptive_pooling_averages_equal_parts():
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 6))
    for run in both(lambda x: nn.adaptive_avg_pool2d(x, 1)):
        close(run(x), x.mean((2, 3), keepdims=True), np.float64)
    close(nn.adaptive_avg_pool2d(x, (2, 3)), nn.avg_pool2d(x, 2), np.float64)
    close(nn.adaptive_avg_pool1d(x[0], 3), nn.avg_pool1d(x[0], 2), np.float64)
    with pytest.raises(UnsupportedError, match="does not divide"):
        nn.adaptive_avg_pool2d(x, 5)


@pytest.mark.parametrize(
    ("shape", "arguments", "error", "words"),
    [
        ((2, 3, 4, 4), (5,), ShapeError, r"window of 5 does not fit input \(2, 3, 4, 4\)"),
        ((2, 3, 4, 4), (2, 1, 2), ShapeError, "more than half"),
        ((2, 3, 4, 4), (0,), ShapeError, "kernel_size"),
        ((2, 3, 4, 4), ((2, 2, 2),), ShapeError, "kernel_size"),
        ((4, 4), (2,), ShapeError, "channels, height, width"),
        ((2, 3, 4, 4), (2.0,), UnsupportedError, "kernel_size must be an int"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(shape, arguments, error, words):
    for pool in (nn.max_pool2d, nn.avg_pool2d):
        with pytest.raises(error, match=words):
            pool(np.zeros(shape), *arguments)


def test_dtypes_that_have_no_mean_or_order():
    with pytest.raises(DTypeError, match="floating"):
        nn.avg_pool1d(np.zeros((1, 4), int), 2)
    with pytest.raises(DTypeError, match="numbers"):
        nn.max_pool1d(np.zeros((1, 4), bool), 2)
    with pytest.raises(ShapeError, match="divisor_override"):
        nn.avg_pool2d(np.zeros((1, 4, 4)), 2, divisor_override=0)


def test_reductions_read_the_windows_where_they_lie():
    x = numbers((4, 3, 8, 8))
    program = tl.compile(lambda x: nn.avg_pool2d(np.tanh(x), 3, 2)).lower(x)
    ops = [n.op.name for n in program.graph("planned").nodes]
    assert "windows" not in ops and ops.count("fused") == 1


def test_equals_torch():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).standard_normal((2, 3, 7, 9))
    for ceil in (False, True):
        for size, stride, padding in (
            (2, 2, 0),
            (3, 2, 1),
            (3, 1, 1),
            (2, 3, 1),
            ((3, 2), (1, 2), 1),
        ):
            found = nn.max_pool2d(x, size, stride, padding, 1, ceil, True)
            wanted = torch.nn.functional.max_pool2d(
                torch.tensor(x), size, stride, padding, 1, ceil, True
            )
            for a, e in zip(found, wanted, strict=True):
                np.testing.assert_array_equal(a, e.numpy())
            for count in (False, True):
                a = nn.avg_pool2d(x, size, stride, padding, ceil, count)
                e = torch.nn.functional.avg_pool2d(
                    torch.tensor(x), size, stride, padding, ceil, count
                )
                np.testing.assert_allclose(a, e.numpy(), rtol=1e-13, atol=1e-15)
